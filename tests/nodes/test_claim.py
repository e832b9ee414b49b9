from __future__ import annotations

from robostack.nodes.claim import CommandClaim


def test_the_first_sender_owns_the_robot_until_it_is_silent():
    claim = CommandClaim(1.0)
    assert claim.accept("a", 10.0)
    assert not claim.accept("b", 10.5)
    assert claim.accept("a", 10.9)
    assert not claim.accept("b", 11.9)  # exactly one second of silence is not yet too long
    assert claim.accept("b", 11.95)
    assert claim.owner == "b"
    assert claim.refused == {"b": 2}
    assert not claim.accept("a", 12.0)


def test_the_refused_sender_does_not_keep_its_own_claim_alive():
    claim = CommandClaim(1.0)
    claim.accept("a", 0.0)
    for tenth in range(1, 10):
        assert not claim.accept("b", tenth / 10)
    assert claim.accept("b", 1.1)


def test_release_frees_the_robot_at_once():
    claim = CommandClaim(1.0)
    claim.accept("a", 0.0)
    claim.release()
    assert claim.accept("b", 0.1)
