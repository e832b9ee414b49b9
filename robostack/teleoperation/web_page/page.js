/* The page of `robostack teleoperate ROBOT --teleop.type web`.
 *
 * A control counts only while it is held. The newest deflections go to the server 30 times per second, and at once
 * when a control is pressed or let go. Velocities are fractions of full deflection in the robot's base frame:
 * x forward, y left, z up.
 */
"use strict";

// The token has become a cookie: take it out of the address bar and the history.
history.replaceState(null, "", "/");

const INPUT_PERIOD_MS = 33;
const RECONNECT_MS = 700;
const LOST_MS = 1000; // without a state for this long the connection counts as lost
const TILT_FULL_RAD = Math.PI / 6;
const TILT_DEAD_RAD = Math.PI / 45;
const FRAME_HEADER_BYTES = 16;

const find = (id) => document.getElementById(id);
const now = () => performance.now() / 1000;
const clamp = (value, limit = 1) => Math.max(-limit, Math.min(limit, value));

// ---------------------------------------------------------------- what is held

/** Control -> its share of the velocity, {linear, angular}; a control is in here while it is held. */
const held = new Map();
let gripper = null;
let speed = 0.5;

function hold(name, linear = [0, 0, 0], angular = [0, 0, 0]) {
  const fresh = !held.has(name);
  held.set(name, { linear, angular });
  if (fresh) sendInput();
}

function letGo(name) {
  if (held.delete(name)) sendInput();
}

/** Let go of everything: the page lost the focus, or the person did something else. */
function letGoAll() {
  for (const control of springs) control.rest();
  tilt.end();
  held.clear();
  sendInput();
}

const sum = (part) =>
  [0, 1, 2].map((axis) => clamp([...held.values()].reduce((total, one) => total + one[part][axis], 0) * speed));

/** A control that springs back: the joystick (two axes), the height (vertical), the turn (horizontal). */
class Spring {
  constructor(id, axes, share) {
    Object.assign(this, { id, axes, share, element: find(id), keys: new Map(), x: 0, y: 0 });
    this.knob = this.element.querySelector(".knob");
    const listen = (name, action) => this.element.addEventListener(name, action);
    listen("pointerdown", (event) => this.press(event));
    listen("pointermove", (event) => this.element.hasPointerCapture(event.pointerId) && this.drag(event));
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) listen(name, () => this.rest());
    listen("keydown", (event) => this.key(event, true));
    listen("keyup", (event) => this.key(event, false));
    listen("blur", () => this.rest());
    listen("contextmenu", (event) => event.preventDefault());
  }

  press(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.element.focus({ preventScroll: true });
    this.element.setPointerCapture(event.pointerId);
    this.drag(event);
  }

  drag(event) {
    const box = this.element.getBoundingClientRect();
    const [reachX, reachY] = this.reach(box);
    let x = this.axes.includes("x") ? (event.clientX - box.left - box.width / 2) / reachX : 0;
    let y = this.axes.includes("y") ? (box.top + box.height / 2 - event.clientY) / reachY : 0;
    const length = Math.max(1, Math.hypot(x, y));
    this.move(x / length, y / length);
  }

  key(event, down) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!step || !this.axes.includes(step[0] ? "x" : "y")) return;
    event.preventDefault();
    if (down) this.keys.set(event.key, step); else this.keys.delete(event.key);
    if (this.keys.size === 0) return this.rest();
    const [x, y] = [0, 1].map((axis) => [...this.keys.values()].reduce((total, one) => total + one[axis], 0));
    const length = Math.max(1, Math.hypot(x, y));
    this.move(x / length, y / length);
  }

  reach(box) {
    const knob = this.knob.offsetWidth / 2;
    return [Math.max(1, box.width / 2 - knob), Math.max(1, box.height / 2 - knob)];
  }

  move(x, y) {
    Object.assign(this, { x, y });
    this.element.classList.add("held");
    this.draw();
    hold(this.id, ...this.share(x, y));
  }

  rest() {
    this.keys.clear();
    Object.assign(this, { x: 0, y: 0 });
    this.element.classList.remove("held");
    this.draw();
    letGo(this.id);
  }

  draw() {
    const [reachX, reachY] = this.reach(this.element.getBoundingClientRect());
    this.knob.style.transform = `translate(${this.x * reachX}px, ${-this.y * reachY}px)`;
    if (this.axes.length === 1) {
      this.element.setAttribute("aria-valuenow", Math.round(100 * (this.axes === "x" ? this.x : this.y)));
    }
  }
}

const springs = [
  new Spring("stick", "xy", (x, y) => [[y, -x, 0], [0, 0, 0]]),
  new Spring("height", "y", (x, y) => [[0, 0, y], [0, 0, 0]]),
  new Spring("turn", "x", (x, y) => [[0, 0, 0], [0, 0, -x]]),
];

// ---------------------------------------------------------------- gripper and speed

find("gripper").addEventListener("input", (event) => {
  gripper = event.target.value / 100;
  find("gripper-value").textContent = `${event.target.value} %`;
  hold("gripper");
});
find("gripper").addEventListener("pointerdown", (event) => {
  gripper = event.target.value / 100;
  hold("gripper");
});
for (const name of ["pointerup", "pointercancel", "keyup", "blur", "change"]) {
  find("gripper").addEventListener(name, () => setTimeout(() => letGo("gripper"), 3 * INPUT_PERIOD_MS));
}
find("speed").addEventListener("input", (event) => {
  speed = event.target.value / 100;
  find("speed-value").textContent = `${event.target.value} %`;
});

// ---------------------------------------------------------------- phone orientation

/** Rotation of the phone as a unit quaternion [w, x, y, z], from W3C's intrinsic Z-X'-Y'' angles in degrees. */
function quaternion({ alpha, beta, gamma }) {
  const [z, x, y] = [alpha, beta, gamma].map((angle) => (angle * Math.PI) / 360);
  const [cz, cx, cy, sz, sx, sy] = [Math.cos(z), Math.cos(x), Math.cos(y), Math.sin(z), Math.sin(x), Math.sin(y)];
  return [cx * cy * cz - sx * sy * sz, sx * cy * cz - cx * sy * sz, cx * sy * cz + sx * cy * sz, cx * cy * sz + sx * sy * cz];
}

/** Rotation vector [rad] from pose `a` to pose `b`, in the axes of `a`: right, up along the screen, out of the screen. */
function rotationBetween(a, b) {
  const [w1, x1, y1, z1] = [a[0], -a[1], -a[2], -a[3]];
  const [w2, x2, y2, z2] = b;
  let w = w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2;
  let v = [w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2, w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2, w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2];
  if (w < 0) [w, v] = [-w, v.map((value) => -value)];
  const sine = Math.hypot(...v);
  const scale = sine < 1e-9 ? 2 : (2 * Math.atan2(sine, w)) / sine;
  const turned = ((screen.orientation?.angle ?? 0) * Math.PI) / 180;
  const [x, y, z] = v.map((value) => value * scale);
  return [x * Math.cos(turned) - y * Math.sin(turned), x * Math.sin(turned) + y * Math.cos(turned), z];
}

const tilt = {
  button: find("tilt"),
  held: false,
  start: null,

  async begin() {
    if (this.held) return;
    this.held = true;
    this.start = null;
    this.button.setAttribute("aria-pressed", "true");
    try {
      // iOS asks the person once, and only from a press.
      const answer = await globalThis.DeviceOrientationEvent?.requestPermission?.();
      if (answer === "denied") return this.unavailable();
    } catch {
      return this.unavailable();
    }
    setTimeout(() => this.held && this.start === null && this.unavailable(), 1500);
  },

  end() {
    if (!this.held) return;
    this.held = false;
    this.button.setAttribute("aria-pressed", "false");
    letGo("tilt");
  },

  unavailable() {
    this.end();
    notice(globalThis.isSecureContext
      ? "This device reports no orientation."
      : "Phones report their orientation only over HTTPS: start robostack with a certificate.");
  },

  move(event) {
    if (!this.held || event.alpha === null || event.beta === null || event.gamma === null) return;
    const pose = quaternion(event);
    this.start ??= pose;
    const [right, up, out] = rotationBetween(this.start, pose).map(
      (angle) => clamp((Math.sign(angle) * Math.max(0, Math.abs(angle) - TILT_DEAD_RAD)) / (TILT_FULL_RAD - TILT_DEAD_RAD)),
    );
    // The phone is held in front of the person, who looks along the robot's x axis.
    if (find("tilt-mode").value === "move") hold("tilt", [-right, -up, 0], [0, 0, out]);
    else hold("tilt", [0, 0, 0], [up, -right, out]);
  },
};
addEventListener("deviceorientation", (event) => tilt.move(event));
tilt.button.addEventListener("pointerdown", (event) => {
  event.preventDefault();
  tilt.button.focus({ preventScroll: true });
  tilt.button.setPointerCapture(event.pointerId);
  tilt.begin();
});
tilt.button.addEventListener("keydown", (event) => [" ", "Enter"].includes(event.key) && tilt.begin());
for (const name of ["pointerup", "pointercancel", "lostpointercapture", "keyup", "blur"]) {
  tilt.button.addEventListener(name, () => tilt.end());
}
tilt.button.addEventListener("contextmenu", (event) => event.preventDefault());

// ---------------------------------------------------------------- connection

let socket = null;
let sequence = 0;
let frames = 0;
let state = null; // newest message of type "state"
let stateReceived = 0;
let roundTrip = null;
let wantsControl = true;
let controlAsked = -Infinity;
let stopSent = -Infinity;
let eventSent = { at: -Infinity, condition: "" }; // the last button of the episode, and what was so when it was pressed

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/socket`);
  socket.binaryType = "arraybuffer";
  sequence = frames = 0;
  socket.onmessage = ({ data }) => (typeof data === "string" ? receive(JSON.parse(data)) : receiveFrame(data));
  socket.onclose = (event) => {
    const greeted = state !== null;
    socket = state = roundTrip = null;
    show();
    if (event.reason) notice(event.reason);
    if (greeted) setTimeout(connect, RECONNECT_MS); else reconnectIfWelcome();
  };
}

/** A browser does not say why a WebSocket was refused; an ordinary request tells. */
async function reconnectIfWelcome() {
  try {
    const answer = await fetch("/page.css");
    if (answer.status === 401 || answer.status === 403) return notice(await answer.text());
  } catch {
    // nobody there: keep trying
  }
  setTimeout(connect, RECONNECT_MS);
}

const isOpen = () => socket !== null && socket.readyState === WebSocket.OPEN;

function send(message) {
  if (!isOpen()) return false;
  socket.send(JSON.stringify(message));
  return true;
}

function sendInput() {
  if (state === null) return;
  send({
    type: "input",
    sequence: sequence++,
    client_time_s: now(),
    seen_s: state.server_time_s,
    frames,
    enabled: held.size > 0,
    linear: sum("linear"),
    angular: sum("angular"),
    gripper,
  });
}

function receive(message) {
  if (message.type === "welcome") {
    find("robot").textContent = message.robot || "Robot";
    document.title = `${message.robot || "robot"} · robostack teleoperation`;
    return;
  }
  if (message.type === "refused") {
    wantsControl = false;
    return notice(message.reason);
  }
  if (state === null) notice("");
  state = message;
  stateReceived = now();
  if (state.client_time_s !== null) {
    const sample = Math.max(0, now() - state.client_time_s - state.client_age_s);
    roundTrip = roundTrip === null ? sample : 0.8 * roundTrip + 0.2 * sample;
  }
  if (state.control === "free" && wantsControl && now() - controlAsked > 1) {
    controlAsked = now();
    send({ type: "control", take: true });
  }
  show();
}

// ---------------------------------------------------------------- pictures

const tiles = [];
const serverNow = () => state.server_time_s + now() - stateReceived + (roundTrip ?? 0) / 2;

async function receiveFrame(data) {
  frames += 1;
  const header = new DataView(data);
  const tile = tileOf(header.getUint32(0, true));
  const captured = header.getFloat64(8, true);
  if (tile.busy) return; // a slow phone shows fewer pictures, never older ones
  tile.busy = true;
  try {
    const picture = await createImageBitmap(new Blob([new Uint8Array(data, FRAME_HEADER_BYTES)], { type: "image/jpeg" }));
    if (tile.canvas.width !== picture.width || tile.canvas.height !== picture.height) {
      Object.assign(tile.canvas, { width: picture.width, height: picture.height });
    }
    tile.canvas.getContext("2d").drawImage(picture, 0, 0);
    picture.close();
    tile.captured = captured;
    tile.times.push(now());
  } catch {
    tile.broken += 1; // not a JPEG; the next one may be
  } finally {
    tile.busy = false;
  }
}

function tileOf(index) {
  while (tiles.length <= index) {
    const figure = document.createElement("figure");
    const canvas = document.createElement("canvas");
    const caption = document.createElement("figcaption");
    figure.className = "camera";
    canvas.setAttribute("role", "img");
    figure.append(canvas, caption);
    find("cameras").append(figure);
    find("no-cameras").hidden = true;
    tiles.push({ canvas, caption, times: [], captured: null, busy: false, broken: 0 });
  }
  return tiles[index];
}

function rateOf(tile) {
  while (tile.times.length && now() - tile.times[0] > 2) tile.times.shift();
  return tile.times.length / 2;
}

// ---------------------------------------------------------------- what is shown

const milliseconds = (seconds) => (seconds === null || seconds === undefined ? "–" : `${Math.round(1000 * seconds)} ms`);
const MOVING = "moving";
const PHASES = { wait: "waiting", operate: "driving", record: "recording", reset: "reset the scene", done: "done" };

function notice(text) {
  find("notice").textContent = text;
  find("notice").hidden = !text;
}

function linkQuality() {
  if (state === null) return ["lost", socket === null ? "Disconnected" : "Connecting"];
  const age = now() - stateReceived;
  if (age * 1000 > LOST_MS) return ["lost", "No answer"];
  if (age > 0.3 || roundTrip > 0.25) return ["poor", "Poor link"];
  if (age > 0.15 || roundTrip > 0.1) return ["fair", "Fair link"];
  return ["good", "Good link"];
}

function show() {
  const [level, text] = linkQuality();
  const status = state?.status ?? {};
  const mine = state?.control === "you";
  document.body.dataset.link = level;
  document.body.dataset.control = state?.control ?? "none";
  if (find("link-text").textContent !== text) find("link-text").textContent = text;
  find("round-trip").textContent = milliseconds(roundTrip);
  // As old as it was when the robot's node said so; older if it says nothing any more.
  const silent = state ? state.status_age_s + now() - stateReceived : 0;
  const known = state && Number.isFinite(status.state_age_s);
  const age = known ? status.state_age_s + (roundTrip ?? 0) / 2 + (silent > 1 ? silent : 0) : null;
  find("state-age").textContent = milliseconds(age);
  const rates = tiles.map(rateOf);
  find("frame-rate").textContent = rates.length ? `${Math.round(Math.min(...rates))} fps` : "–";
  tiles.forEach((tile, index) => showTile(tile, state?.cameras[index] ?? "camera", rates[index]));
  find("control").textContent = mine ? "Give back control" : "Take control";
  find("control").setAttribute("aria-pressed", String(mine));
  find("control").disabled = state === null;
  const driving = drivingText(status, mine);
  find("enabled").textContent = driving;
  find("enabled").classList.toggle("on", driving === MOVING);
  showEpisode(status, mine);
  showStop(status, mine);
}

function showTile(tile, name, rate) {
  const age = state && tile.captured !== null ? milliseconds(Math.max(0, serverNow() - tile.captured)) : "–";
  tile.caption.textContent = `${name} · ${Math.round(rate)} fps · ${age}`;
  tile.canvas.setAttribute("aria-label", `Camera ${name}`);
}

function drivingText(status, mine) {
  if (state === null) return "not connected";
  if (status.stopped) return "stopped";
  if (!mine) return state.control === "other" ? "someone else drives" : "watching";
  if (state.enabled) return MOVING;
  return state.why_not || "not moving";
}

function showEpisode(status, mine) {
  const recording = Boolean(status.recording);
  const counted = Number.isFinite(status.episodes) && status.episodes > 0;
  find("phase").textContent = PHASES[status.phase] ?? status.phase ?? "waiting";
  find("phase").classList.toggle("recording", recording);
  find("episode").hidden = !counted;
  if (counted) {
    const time = Number.isFinite(status.episode_time_s) ? ` · ${status.episode_time_s.toFixed(1)} s` : "";
    find("episode").textContent = `${Math.min(status.episode + 1, status.episodes)} of ${status.episodes}${time}`;
  }
  const text = [...new Set([status.message, status.safety])].filter((line) => line && line !== "ok").join(" · ");
  if (find("message").textContent !== text) find("message").textContent = text;
  // One press, one event: "Record" and "Success" are the same to the robot's node, one after the other.
  const usable = mine && !(eventSent.at > now() - 1.5 && eventSent.condition === conditionOf(status));
  find("record").disabled = !usable || !counted || recording || status.phase === "done";
  for (const id of ["success", "failure", "re-record"]) find(id).disabled = !usable || !recording;
  find("finish").disabled = !usable || status.phase === "done";
}

const conditionOf = (status) => [status.phase, status.recording, status.episode].join();

function showStop(status, mine) {
  const button = find("stop");
  const confirmed = Boolean(status.stopped);
  const waiting = now() - stopSent < 3 && !confirmed;
  button.classList.toggle("sent", confirmed || waiting);
  if (!button.classList.contains("failed")) find("stop-text").textContent = confirmed ? "STOPPED" : waiting ? "STOP SENT" : "STOP";
  find("reset").hidden = !confirmed || !mine;
  if (!confirmed) resetAsked = -Infinity;
  find("reset").textContent = now() - resetAsked < 4 ? "Press again to reset" : "Reset";
}

// ---------------------------------------------------------------- buttons

let resetAsked = -Infinity;

function stop() {
  const sent = send({ type: "stop" });
  stopSent = sent ? now() : -Infinity;
  find("stop").classList.toggle("failed", !sent);
  if (!sent) {
    find("stop-text").textContent = "NOT CONNECTED – use the robot's own emergency stop";
    setTimeout(() => find("stop").classList.remove("failed"), 4000);
  }
  letGoAll();
  show();
}

// On the press, not on the release; the click that follows is the same press, but a click by keyboard has no press.
let pressed = false;
find("stop").addEventListener("pointerdown", () => { pressed = true; stop(); });
find("stop").addEventListener("click", () => { if (!pressed) stop(); pressed = false; });
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.repeat) return;
  event.preventDefault();
  stop();
});
find("reset").addEventListener("click", () => {
  if (now() - resetAsked < 4) {
    send({ type: "event", event: "reset" });
    resetAsked = -Infinity;
  } else {
    resetAsked = now();
  }
  show();
});
for (const button of document.querySelectorAll("[data-event]")) {
  button.addEventListener("click", () => {
    send({ type: "event", event: button.dataset.event });
    eventSent = { at: now(), condition: conditionOf(state?.status ?? {}) };
    show();
  });
}
find("control").addEventListener("click", () => {
  wantsControl = state?.control !== "you";
  notice("");
  letGoAll();
  send({ type: "control", take: wantsControl });
});

addEventListener("blur", letGoAll);
document.addEventListener("visibilitychange", () => document.hidden && letGoAll());
// Leaving on purpose gives the control back; a connection that breaks does not.
addEventListener("pagehide", () => { letGoAll(); send({ type: "control", take: false }); socket?.close(1000); });
addEventListener("pageshow", (event) => event.persisted && location.reload());

setInterval(sendInput, INPUT_PERIOD_MS);
setInterval(show, 200);
show();
connect();
