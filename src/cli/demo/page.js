// The demo's page: five rows, each one topic of the gateway, painted once a frame however many ticks came in.

import { Fanwire } from "./fanwire.js";

const STOCKS = [
  { symbol: "AAPL", company: "Apple Inc.", listed: "2000-03-01" },
  { symbol: "FB", company: "Facebook Inc.", listed: "2012-05-18" },
  { symbol: "GOOG", company: "Google Inc.", listed: "2004-08-19" },
  { symbol: "IBM", company: "IBM Corp.", listed: "2000-03-01" },
  { symbol: "MSFT", company: "Microsoft Corp.", listed: "2000-03-01" },
];
const DAY_MS = 86_400_000;
const CHART_DAYS = 170; // of the calendar: 120 of the stock exchange
const CHART_MESSAGES = 4 * 120; // four ticks a day
const FIRST_MS = Date.UTC(2000, 2, 1), LAST_MS = Date.UTC(2013, 2, 1);
const FLASH_MS = 900;

const byId = (id) => document.getElementById(id);
const money = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const whole = new Intl.NumberFormat("en-US");
const short = new Intl.NumberFormat("en-US", { notation: "compact", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const longDay = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
const signed = (value, unit = "") => (value > 0 ? "+" : value < 0 ? "\u2212" : "") + money.format(Math.abs(value)) + unit;
const wayOf = (value) => (value > 0 ? "up" : value < 0 ? "down" : "flat");
const NONE = "–";

// State: the newest tick of each stock, and the points of its chart.

const rows = new Map(STOCKS.map(({ symbol, company, listed }) => {
  const element = byId("row").content.firstElementChild.cloneNode(true);
  element.dataset.symbol = symbol;
  element.querySelector(".symbol").textContent = symbol;
  element.querySelector(".company").textContent = company;
  byId("rows").append(element);
  const names = ["plot", "area", "line", "tip", "unlisted", "price", "change", "percent", "open", "high", "low", "volume", "age"];
  const parts = Object.fromEntries(names.map((name) => [name, element.querySelector("." + name)]));
  return ["px." + symbol, { element, parts, listed: Date.parse(listed), tick: null, points: [], isBroken: false, flashedAt: 0 }];
}));
const TOPICS = [...rows.keys()];

const dirty = new Set();
let market = NaN; // the day of the newest tick of all
let newestSent = -1;
let clockGap = 0; // how far this clock is behind the gateway's, never above zero
let received = 0, skipped = 0, isFramed = false;

/** A tick as it was published, or null: anyone may publish anything. */
function read(data, offset) {
  const day = data && Date.parse(data.Date);
  if (!data || typeof data.Close !== "number" || Number.isNaN(day)) return null;
  const { Previous: previous, "Adj Close": adjusted = data.Close, Sent: sent = 0 } = data;
  return { ...data, day, offset, adjusted, sent, price: data.Close, previous: typeof previous === "number" ? previous : NaN };
}

function take(row, tick) {
  if (row.tick && tick.sent < row.tick.sent) return;
  row.tick = tick;
  // The last value of a stock that is not traded is from long ago.
  if (tick.sent >= newestSent) [newestSent, market] = [tick.sent, tick.day];
  dirty.add(row);
  if (isFramed) return;
  isFramed = true;
  requestAnimationFrame(paint);
}

/** A day has one point, its newest. Where the replay starts over the chart does too. */
function addPoint(row, { day, adjusted, offset }) {
  const { points } = row;
  const last = points.at(-1);
  let { isBroken } = row;
  if (last && day < last.day) points.length = 0;
  else if (last?.day === day) isBroken ||= points.pop().isBroken;
  row.isBroken = false;
  points.push({ day, adjusted, offset, isBroken: isBroken && points.length > 0 });
  while (points[0].day < day - CHART_DAYS * DAY_MS) points.shift();
}

/** Puts what the gateway keeps of a topic under what came since, and behind what was known before a hole. */
function fill(row, ticks) {
  if (ticks.length === 0) return;
  const last = ticks.at(-1);
  const before = row.points.filter(({ offset }) => offset < 0);
  const since = row.points.filter(({ offset }) => offset > last.offset);
  row.points = [];
  before.forEach((point) => addPoint(row, point));
  row.isBroken = before.length > 0;
  [...ticks, ...since].forEach((point) => addPoint(row, point));
  take(row, last);
}

/** A hole begins here: what is known stays, and no line leads over it. */
function breakLine(row) {
  row.isBroken = true;
  row.points.forEach((point) => { point.offset = -1; });
}

/** Gives back the position up to which it filled the chart. */
async function load(topic) {
  const { epoch, messages } = await feed.history(topic, { limit: CHART_MESSAGES, order: "newest" });
  const ticks = messages.map(({ data, offset }) => read(data, offset)).filter(Boolean);
  ticks.sort((one, other) => one.offset - other.offset);
  fill(rows.get(topic), ticks);
  return ticks.length > 0 ? `${epoch}-${ticks.at(-1).offset}` : undefined;
}

// Display.

function paint() {
  isFramed = false;
  for (const row of rows.values()) {
    const isListed = !(market < row.listed);
    if (!isListed && row.tick) {
      [row.tick, row.points] = [null, []];
      dirty.add(row);
    }
    write(row.parts.unlisted, isListed ? "" : "not listed yet");
  }
  dirty.forEach(paintRow);
  dirty.clear();
  if (!Number.isNaN(market)) write(byId("day"), longDay.format(market).replace(",", ""));
  write(byId("total"), whole.format(received));
  const done = Math.min(1, Math.max(0, (market - FIRST_MS) / (LAST_MS - FIRST_MS)));
  byId("progress").style.transform = `scaleX(${done || 0})`;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function paintRow(row) {
  const { parts, tick } = row;
  const amount = (value, format = money) => (typeof value === "number" && !Number.isNaN(value) ? format.format(value) : NONE);
  const change = tick ? tick.price - tick.previous : NaN;
  const isKnown = !Number.isNaN(change);
  const before = parts.price.textContent;
  row.element.dataset.way = isKnown ? wayOf(change) : "flat";
  row.element.dataset.date = tick?.Date ?? "";
  write(parts.price, amount(tick?.price));
  write(parts.change, isKnown ? signed(change) : NONE);
  write(parts.percent, isKnown ? signed(100 * change / tick.previous, "%") : NONE);
  for (const name of ["Open", "High", "Low"]) write(parts[name.toLowerCase()], amount(tick?.[name]));
  write(parts.volume, amount(tick?.Volume, short));
  paintAge(row);
  paintChart(row);
  const now = performance.now();
  const isNews = before !== NONE && before !== parts.price.textContent && isKnown;
  if (isNews && now - row.flashedAt > FLASH_MS) {
    row.flashedAt = now;
    parts.price.dataset.flash = parts.price.dataset.flash === "a" ? "b" : "a";
  }
}

function paintAge({ parts, tick }) {
  write(parts.age, tick?.sent ? whole.format(Math.max(0, Date.now() - clockGap - tick.sent)) : NONE);
}

function paintChart({ parts: { plot, area, line, tip }, points }) {
  if (points.length < 2) {
    delete plot.dataset.way;
    line.removeAttribute("d");
    area.removeAttribute("d");
    return;
  }
  const [first, last] = [points[0], points.at(-1)];
  const prices = points.map((point) => point.adjusted);
  const low = Math.min(...prices), range = Math.max(...prices) - low || 1;
  const y = (price) => 94 - 88 * (price - low) / range;
  const at = ({ day, adjusted }) => `${CHART_DAYS - (last.day - day) / DAY_MS},${y(adjusted).toFixed(2)}`;
  const runs = [];
  for (const point of points) {
    if (runs.length === 0 || point.isBroken) runs.push([]);
    runs.at(-1).push(at(point));
  }
  const foot = (point) => point.split(",")[0] + ",100";
  line.setAttribute("d", runs.map((run) => "M" + run.join("L")).join(""));
  area.setAttribute("d", runs.map((run) => `M${foot(run[0])}L${run.join("L")}L${foot(run.at(-1))}Z`).join(""));
  tip.style.top = y(last.adjusted) + "%";
  plot.dataset.way = last.adjusted >= first.adjusted ? "up" : "down";
}

// Ticks per second, over the last two seconds; and ages, which grow while nothing comes.

const counts = [];
setInterval(() => {
  counts.push(received);
  if (counts.length > 9) counts.shift();
  const seconds = (counts.length - 1) / 4;
  write(byId("rate"), seconds ? whole.format(Math.round((received - counts[0]) / seconds)) : "0");
  rows.forEach(paintAge);
}, 250);

// The feed: fanwire.js finds a transport and comes back by itself; the controls say what it may do.

const NAMES = { ws: "WebSocket", sse: "SSE", stream: "stream", poll: "long poll" };
const TRANSPORTS = ["ws", "sse", "poll"];
const SLOW_MS = 8000, SLOW_BANDWIDTH = 10_000;
const HISTORY_WAIT_MS = 3000;

const server = new URLSearchParams(location.search).get("server");
const feed = new Fanwire(server ? location.protocol + "//" + server : location.origin, { transports: TRANSPORTS });
let wasLive = false, isAway = false, countdown;

function show(state, text) {
  const pill = byId("state");
  if (pill.dataset.state !== state) byId("announce").textContent = state;
  pill.dataset.state = state;
  write(pill, text);
  document.body.toggleAttribute("data-away", state !== "live");
}

function tell(text) {
  byId("news").textContent = text;
}

function push({ topic, data, offset }) {
  const row = rows.get(topic), tick = read(data, offset);
  if (!row || !tick) return;
  received += 1;
  clockGap = Math.min(clockGap, Date.now() - tick.sent);
  addPoint(row, tick);
  take(row, tick);
}

function follow(since) {
  const maxRate = Number(document.querySelector("[name=max_rate]:checked").value) || undefined;
  feed.subscribe(TOPICS, { mode: "latest", maxRate, since }, push);
}

feed.addEventListener("state", ({ detail }) => {
  clearInterval(countdown);
  if (detail.state === "live") {
    wasLive = true;
    isAway = false;
    show("live", "live \u00b7 " + NAMES[detail.transport]);
    byId("announce").textContent = "live over " + NAMES[detail.transport];
    // Long polling brings everything: it knows no rates.
    document.querySelectorAll("#rates input").forEach((it) => { it.disabled = detail.transport === "poll"; });
    byId("stall").disabled = detail.transport === "poll" || slow !== null;
    return;
  }
  isAway ||= wasLive;
  const word = wasLive ? "reconnecting" : "connecting";
  if (detail.state !== "waiting") {
    show(word, word);
    return;
  }
  const until = performance.now() + detail.retryMs;
  const step = () => show(word, `${word} in ${Math.max(1, Math.ceil((until - performance.now()) / 1000))} s`);
  step();
  countdown = setInterval(step, 100);
});

feed.addEventListener("gap", ({ detail }) => {
  if (detail.isResume) {
    const row = rows.get(detail.topic);
    if (row) breakLine(row);
    return;
  }
  skipped += detail.skipped;
  write(byId("skipped"), whole.format(skipped));
});

feed.addEventListener("resumed", ({ detail: { recovered, lost } }) => {
  if (lost.length > 0) tell(`${lost.length} of ${TOPICS.length} topics could not be resumed: the prices in between are missing`);
  else if (isAway) tell(`resumed: ${whole.format(recovered)} messages recovered`);
  // The gateway may have more messages since then than those that come.
  for (const topic of lost) load(topic).catch(() => {});
});

byId("transports").addEventListener("change", ({ target: { value } }) => {
  tell("");
  feed.reconfigure({ transports: value === "auto" ? TRANSPORTS : [value] });
});
byId("rates").addEventListener("change", () => follow());

// A slow tab: the gateway sees a reader that takes 10 kB a second, and keeps only the newest price of each stock for it.

let slow = null;
byId("stall").addEventListener("click", () => {
  const before = skipped;
  byId("stall").disabled = true;
  tell(`this tab takes ${SLOW_BANDWIDTH / 1000} kB/s for ${SLOW_MS / 1000} s`);
  feed.reconfigure({ bandwidth: SLOW_BANDWIDTH });
  slow = setTimeout(() => {
    slow = null;
    feed.reconfigure({ bandwidth: null });
    byId("stall").disabled = feed.transport === "poll";
    tell(`back to the newest prices: ${whole.format(skipped - before)} ticks skipped`);
  }, SLOW_MS);
});

// Charts begin with what the gateway has; the feed goes on right behind it.

const loads = Promise.all(TOPICS.map(async (topic) => [topic, await load(topic)]));
const late = new Promise((resolve) => setTimeout(resolve, HISTORY_WAIT_MS, []));
const found = await Promise.race([loads, late]).catch(() => []);
follow(Object.fromEntries(found.filter(([, position]) => position)));
