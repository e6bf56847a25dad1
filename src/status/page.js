'use strict';

const EVERY = 2000;     // milliseconds between two looks
const KEPT = 120;       // looks that the chart shows

const at = id => document.getElementById(id);
let before = null;
const rates = [];

// All values are text: nothing that the gateway says becomes markup.
function element(name, text, kind) {
  const node = document.createElement(name);
  if (text instanceof Node) node.append(text);
  else if (text !== undefined) node.textContent = text;
  if (kind) node.className = kind;
  return node;
}

function drawing(name, attributes, ...parts) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const key of Object.keys(attributes)) node.setAttribute(key, attributes[key]);
  node.append(...parts);
  return node;
}

function row(cells, name = 'td') {
  const tr = element('tr');
  cells.forEach((cell, i) => tr.append(element(i ? name : 'th', ...[].concat(cell))));
  return tr;
}

function table(id, head, rows, none) {
  const node = at(id);
  if (!rows.length) return node.replaceChildren(row([[none, 'empty']]));
  const thead = element('thead');
  thead.append(row(head, 'th'));
  const tbody = element('tbody');
  tbody.append(...rows.map(cells => row(cells)));
  node.replaceChildren(thead, tbody);
}

function list(id, items) {
  at(id).replaceChildren(...items.map(([name, value, kind, more]) => {
    const dd = element('dd', value, kind), div = element('div');
    if (more) dd.append(' ', element('small', more));
    div.append(element('dt', name), dd);
    return div;
  }));
}

const number = n => n.toLocaleString('en');
const sum = samples => (samples || []).reduce((all, one) => all + one.value, 0);
const pick = (samples, want) => (samples || []).filter(one => Object.keys(want).every(key => one[key] === want[key]));
const value = (samples, want) => sum(pick(samples, want));

function bytes(n) {
  return n < 1048576 ? (n / 1024).toFixed(0) + ' KiB' : (n / 1048576).toFixed(1) + ' MiB';
}

function seconds(s) {
  return s === null ? '–' : s < 1 ? (s * 1000).toFixed(s < 0.01 ? 1 : 0) + ' ms' : s.toFixed(s < 10 ? 1 : 0) + ' s';
}

function ago(time) {
  const s = Math.max(0, Math.round(Date.now() / 1000 - time));
  return s < 60 ? s + ' s ago' : s < 3600 ? Math.floor(s / 60) + ' min ago'
    : s < 86400 ? Math.floor(s / 3600) + ' h ago' : Math.floor(s / 86400) + ' d ago';
}

// A quantile by its bucket, as histogram_quantile() has it; null: no sample.
function quantile(histogram, q) {
  if (!histogram || !histogram.count) return null;
  const bounds = Object.keys(histogram.buckets).filter(le => le !== '+Inf').sort((a, b) => a - b);
  let low = 0, below = 0;
  for (const le of bounds) {
    const n = histogram.buckets[le];
    if (n >= q * histogram.count) return low + (le - low) * (q * histogram.count - below) / Math.max(1, n - below);
    low = Number(le);
    below = n;
  }
  return low;
}

// A bar for each bucket, from 1 ms to more than a minute.
function bars(histogram) {
  const limits = Object.keys(histogram.buckets).sort((a, b) => (a === '+Inf') - (b === '+Inf') || a - b);
  const counts = limits.map((le, i) => histogram.buckets[le] - (i ? histogram.buckets[limits[i - 1]] : 0));
  const top = Math.max(...counts);
  const box = {viewBox: `0 0 ${counts.length} 10`, preserveAspectRatio: 'none', role: 'img', 'aria-label': 'histogram'};
  return drawing('svg', box, ...counts.map((n, i) => {
    const height = n ? Math.max(1, 10 * n / top) : 0.3;
    return drawing('rect', {x: i + 0.1, y: 10 - height, width: 0.8, height}, drawing('title', {}, `${limits[i]} s: ${number(n)}`));
  }));
}

function latencies(now) {
  const rows = [['Chatmaid', now.chatmaid_upstream_duration_seconds[0]], ['Redis', now.chatmaid_redis_duration_seconds[0]]]
    .concat(now.chatmaid_request_duration_seconds.map(one => [one.route, one]))
    .filter(([, histogram]) => histogram.count)
    .map(([name, histogram]) => [name, [bars(histogram), 'bars'], ...[0.5, 0.95, 0.99].map(q => seconds(quantile(histogram, q)))]);
  table('latency', ['', '1 ms – 1 min', '50 %', '95 %', '99 %'], rows, 'nothing yet');
}

function state(now) {
  const items = [];
  const configured = sum(now.redis_configured), connected = sum(now.chatmaid_redis_connected);
  items.push(['Redis', !configured ? 'off' : connected ? 'up' : 'away', !configured ? '' : connected ? 'good' : 'bad']);

  for (const one of now.upstreams) {
    items.push(['Chatmaid', one.state, {up: 'good', down: 'bad'}[one.state], one.upstream]);
  }

  for (const one of now.chatmaid_account_info) {
    const held = value(now.chatmaid_account_held_seconds, {account: one.account});
    items.push([`Account ${one.account || '(no name)'}`, held ? `held for ${seconds(held)}` : 'free', held ? 'warn' : 'good',
      `${one.environment}, key ${one.fingerprint}`]);
  }

  for (const one of now.paces) {
    items.push([`Pace ${one.account || '(no name)'}`, one.rate, one.value ? 'warn' : '',
      `burst ${one.burst}, ${number(one.value)} waiting`]);
  }

  const refused = sum(now.chatmaid_upstream_auth_failures_total);
  items.push(['Key refused', number(refused), refused ? 'warn' : '']);

  const records = now.chatmaid_idempotency_records;
  const ambiguous = value(records, {state: 'ambiguous'});
  items.push(['Sends in flight', number(value(records, {state: 'in_flight'}))]);
  items.push(['Ambiguous', number(ambiguous), ambiguous ? 'warn' : '']);
  items.push(['Waiting', number(sum(now.chatmaid_waiters))]);

  const used = value(now.chatmaid_zone_bytes, {state: 'used'}), all = sum(now.chatmaid_zone_bytes);
  const evicted = sum(now.chatmaid_zone_evicted_total);
  items.push(['Zone', (100 * used / all).toFixed(0) + ' %', evicted ? 'warn' : '', `of ${bytes(all)}` + (evicted ? `, ${number(evicted)} evicted` : '')]);
  list('state', items);
}

function flow(now, time) {
  if (before) {
    const passed = (time - before.time) / 1000;
    const rate = (name, want = {}) => Math.max(0, value(now[name], want) - value(before.now[name], want)) / passed;
    const shown = r => r.toFixed(r < 10 ? 1 : 0);
    const failed = s => sum((s || []).filter(one => one.status >= '500'));
    const all = rate('chatmaid_requests_total');

    rates.push(all);
    if (rates.length > KEPT) rates.shift();
    list('rates', [
      ['all', shown(all)],
      ['sends', shown(rate('chatmaid_requests_total', {route: 'send'}))],
      ['5xx', shown(Math.max(0, failed(now.chatmaid_requests_total) - failed(before.now.chatmaid_requests_total)) / passed)],
      ['webhooks', shown(rate('chatmaid_webhooks_total'))],
    ]);
    const top = Math.max(1, ...rates);
    at('chart').firstElementChild.setAttribute('points',
      rates.map((r, i) => `${(120 * (KEPT - rates.length + i) / (KEPT - 1)).toFixed(1)},${(39 - 38 * r / top).toFixed(1)}`).join(' '));
  }
  before = {now, time};
}

function show(now, time) {
  at('build').textContent = 'version ' + now.chatmaid_build_info[0].version + ', configured '
    + new Date(1000 * sum(now.chatmaid_config_load_time_seconds)).toLocaleString();
  state(now);
  flow(now, time);
  latencies(now);

  const counted = (name, label) => (now[name] || []).filter(one => one.value).sort((a, b) => b.value - a.value)
    .map(one => [one[label], number(one.value)]);
  table('idempotency', ['', 'sends'], counted('chatmaid_idempotency_total', 'result'), 'no send yet');
  table('webhooks', ['', 'webhooks'], counted('chatmaid_webhooks_total', 'result'), 'no webhook yet');
  table('tries', ['', 'tries'], counted('chatmaid_upstream_requests_total', 'outcome'), 'no try yet');
  table('requests', ['', 'status', 'requests'], (now.chatmaid_requests_total || []).sort((a, b) => b.value - a.value)
    .map(one => [one.route, [one.status, one.status >= '500' ? 'bad' : one.status >= '400' ? 'warn' : ''], number(one.value)]), 'no request yet');
  table('refusals', ['', 'count', 'last'], now.last_refusal_time.sort((a, b) => b.value - a.value)
    .map(one => [one.code, number(value(now.refusals, {code: one.code})), ago(one.value)]), 'none');
}

async function look() {
  try {
    const answer = await fetch(location.pathname + '?format=json', {cache: 'no-store'});
    if (!answer.ok) throw new Error('status ' + answer.status);
    const now = await answer.json();
    show(now, performance.now());
    at('when').textContent = 'as of ' + new Date().toLocaleTimeString();
    at('when').className = 'dim';
  } catch (error) {
    at('when').textContent = 'no answer: ' + error.message;
    at('when').className = 'bad';
  }
  setTimeout(look, EVERY);
}

look();
