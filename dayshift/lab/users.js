// The lab's users. They know nothing of Dayshift; what they count is the truth.
//
// Every request is one row of `user_ms` (its duration in milliseconds), tagged with who
// answered and whether the answer was right; every order is one row of `order_n` (its
// number). No request is ever sent again: a failure stays a failure, and an order that
// got no answer is never ordered twice.
import http from 'k6/http';
import crypto from 'k6/crypto';
import exec from 'k6/execution';
import { Trend } from 'k6/metrics';

const H1 = __ENV.LAB_H1;
const H2 = __ENV.LAB_H2;
const RPS = Number(__ENV.LAB_RPS);
const DURATION = __ENV.LAB_DURATION;
const PREFIX = __ENV.LAB_PREFIX;

const userMs = new Trend('user_ms', true);
const orderN = new Trend('order_n');

// Arrivals do not wait for answers, so that a slow estate is seen as slow.
function arrivals(name, share, extra) {
  const perMinute = Math.max(1, Math.round(RPS * share * 60));
  return Object.assign({
    executor: 'constant-arrival-rate', exec: name, rate: perMinute, timeUnit: '1m',
    duration: DURATION, gracefulStop: '12s',
    preAllocatedVUs: Math.ceil(5 + RPS * share / 6),
    maxVUs: Math.ceil(20 + RPS * share * 1.5),
  }, extra || {});
}

export const options = {
  scenarios: {
    browse1: arrivals('browse1', 0.44),
    browse2: arrivals('browse2', 0.38),
    order: arrivals('order', 0.06),
    account: arrivals('account', 0.12),
    download: arrivals('download', 0, {
      rate: 20, preAllocatedVUs: 8, maxVUs: 24 }),
  },
  systemTags: ['status', 'error_code'],
  insecureSkipTLSVerify: true,
  noCookiesReset: true,
  discardResponseBodies: false,
  summaryTrendStats: ['count', 'p(99)'],
};

const PARAMS = { timeout: '5s' };
const JSON_PARAMS = { timeout: '5s', headers: { 'content-type': 'application/json' } };
const DOWNLOAD_PARAMS = { timeout: '30s', responseType: 'binary' };
// Which of the two doors a virtual user goes through, for its whole life.
const door = () => (exec.vu.idInTest % 2 ? H1 : H2);

function failure(res, right) {
  if (res.error_code === 1050) return 'timeout';
  if (res.status === 0 || (res.error_code >= 1000 && res.error_code < 1400))
    return 'reset';
  return right ? '' : 'wrong';
}

function note(res, kind, right) {
  const why = failure(res, right);
  userMs.add(res.timings.duration, {
    kind, why, code: String(res.status), proto: res.proto || '',
    region: res.headers['X-Region'] || '', version: res.headers['X-Version'] || '',
  });
  return why === '';
}

function browse(base) {
  const number = exec.scenario.iterationInTest % 100000;
  const res = http.get(`${base}/item/${number}`, PARAMS);
  let right = false;
  if (res.status === 200) {
    try { right = res.json('item') === number; } catch (e) { right = false; }
  }
  note(res, 'item', right);
}

export function browse1() { browse(H1); }
export function browse2() { browse(H2); }

export function order() {
  const number = exec.scenario.iterationInTest;
  const id = `${PREFIX}-${number}`;
  const res = http.post(`${door()}/orders`, JSON.stringify({ id }), JSON_PARAMS);
  let right = false;
  if (res.status === 201) {
    try { right = res.json('id') === id; } catch (e) { right = false; }
  }
  const ok = note(res, 'order', right);
  orderN.add(number, { ok: ok ? '1' : '0' });
}

// One virtual user logs in once and then stays logged in, by its cookie.
let user = '';

export function account() {
  if (user === '') {
    const name = `user-${exec.vu.idInTest}`;
    const res = http.post(`${door()}/login?user=${name}`, null, PARAMS);
    if (note(res, 'login', res.status === 200)) user = name;
    return;
  }
  const res = http.get(`${door()}/account`, PARAMS);
  let right = false;
  if (res.status === 200) {
    try { right = res.json('user') === user; } catch (e) { right = false; }
  }
  note(res, 'account', right);
  if (res.status === 401) user = '';
}

export function download() {
  const res = http.get(`${door()}/download`, DOWNLOAD_PARAMS);
  let right = false;
  if (res.status === 200 && res.body) {
    const whole = res.body.byteLength === Number(res.headers['Content-Length']);
    right = whole && crypto.sha256(res.body, 'hex') === res.headers['X-Sha256'];
  }
  note(res, 'download', right);
}

export function handleSummary() { return {}; }
