"""The wire between an actor on a robot and a learner elsewhere: ZeroMQ with CURVE keys, msgpack, nothing unpickled."""
