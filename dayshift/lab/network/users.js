// The users of the network lab. They ask their resolver for every new connection, and
// go where it says; no request is ever sent again. What they count is the truth.
import http from 'k6/http';
import { Counter, Trend } from 'k6/metrics';

const NAME = __ENV.LAB_NAME;
const RPS = Number(__ENV.LAB_RPS);
const STREAMS = Number(__ENV.LAB_STREAMS);
const STREAM_S = __ENV.LAB_STREAM_S.split('-').map(Number);
const DURATION = __ENV.LAB_DURATION;
const REGIONS = __ENV.LAB_REGIONS.split(' ');

const KINDS = ['h1', 'h2', 'stream'];
const ENDS = ['asked', 'failed', 'reset', 'timeout', 'wrong'];
const counts = {};
for (const kind of KINDS)
  for (const end of [...ENDS, ...REGIONS])
    counts[`${kind}_${end}`] = new Counter(`${kind}_${end}`);
const took = { h1: new Trend('h1_ms'), h2: new Trend('h2_ms') };

// Arrivals do not wait for answers, so that a slow network is seen as slow.
function arrivals(exec) {
  return {
    executor: 'constant-arrival-rate', exec, rate: Math.max(1, Math.round(RPS / 2)),
    timeUnit: '1s', duration: DURATION, gracefulStop: '6s',
    preAllocatedVUs: Math.ceil(5 + RPS / 10), maxVUs: Math.ceil(20 + RPS),
  };
}

const scenarios = { h1: arrivals('h1'), h2: arrivals('h2') };
if (STREAMS)
  scenarios.stream = {
    executor: 'constant-vus', exec: 'stream', vus: STREAMS, duration: DURATION,
    gracefulStop: '70s',
  };

export const options = {
  scenarios,
  systemTags: ['error_code'],
  insecureSkipTLSVerify: true,
  discardResponseBodies: true,
  dns: { ttl: '0', select: 'random', policy: 'onlyIPv4' },
  summaryTrendStats: ['count', 'med', 'p(99)', 'max'],
};

function failure(res) {
  if (res.error_code === 1050) return 'timeout';
  if (res.error_code >= 1000 && res.error_code < 1400 || res.status === 0) return 'reset';
  return res.status === 200 && !res.error_code ? '' : 'wrong';
}

function note(kind, res) {
  // Who goes home in the middle of a request has not been hurt.
  if (String(res.error).includes('context canceled')) return;
  const why = failure(res);
  counts[`${kind}_asked`].add(1);
  if (why) {
    counts[`${kind}_failed`].add(1);
    counts[`${kind}_${why}`].add(1);
    console.warn(`${kind}: ${why} ${res.remote_ip} ${res.status} ${res.error_code} ` +
      `${res.error}`);
  } else {
    counts[`${kind}_${res.headers['X-Region']}`].add(1);
    if (took[kind]) took[kind].add(res.timings.duration);
  }
}

export function h1() { note('h1', http.get(`http://${NAME}/`, { timeout: '5s' })); }
export function h2() { note('h2', http.get(`https://${NAME}/`, { timeout: '5s' })); }

export function stream() {
  const [least, most] = STREAM_S;
  const seconds = least + Math.floor(Math.random() * (most - least + 1));
  // One connection for each: it ends with its stream.
  note('stream', http.get(`http://${NAME}/stream/${seconds}`, {
    timeout: `${seconds + 20}s`, headers: { connection: 'close' } }));
}

export function handleSummary(data) {
  const found = {};
  for (const [name, metric] of Object.entries(data.metrics))
    if (metric.type === 'counter' || took[name.slice(0, 2)])
      found[name] = metric.values;
  return { [__ENV.LAB_SUMMARY]: JSON.stringify(found) };
}
