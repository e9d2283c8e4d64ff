/** Figures and times as people read them. */

/** @param {number | null} ms */
export function duration(ms) {
  if (ms === null) return '–';
  if (ms === 0) return '0 ms';
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

/** @param {number} ms How long something has been, roughly. */
export function age(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** @param {number} value */
export function rate(value) {
  if (value === 0) return '0';
  if (value < 0.1) return '< 0.1';
  if (value < 10) return value.toFixed(1);
  return Math.round(value).toLocaleString('en');
}

/** @param {number} part @param {number} whole */
export function percent(part, whole) {
  if (whole === 0) return '–';
  const value = (100 * part) / whole;
  if (value === 0) return '0 %';
  if (value < 0.1) return '< 0.1 %';
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

/** @param {number} value */
export function count(value) {
  return value.toLocaleString('en');
}

/** @param {number | null} value */
export function bytes(value) {
  if (value === null) return '–';
  if (value < 1024) return `${value} B`;
  if (value < 1024 * 1024) return `${(value / 1024).toFixed(1)} KB`;
  return `${(value / 1024 / 1024).toFixed(value < 10 * 1024 * 1024 ? 1 : 0)} MB`;
}

/** @param {string} iso Time of today: without its date. */
export function clock(iso) {
  const time = new Date(iso);
  const today = new Date().toDateString() === time.toDateString();
  const text = time.toLocaleTimeString('en-GB');
  return today ? text : `${time.toLocaleDateString('sv')} ${text}`;
}

/** @param {string} iso With milliseconds, for log lines. */
export function preciseClock(iso) {
  return `${clock(iso)}.${iso.slice(20, 23).padEnd(3, '0')}`;
}

/** @param {string} iso */
export function ago(iso) {
  return `${age(Date.now() - Date.parse(iso))} ago`;
}

/** @param {string} iso */
export function until(iso) {
  const ms = Date.parse(iso) - Date.now();
  return ms <= 0 ? 'now' : `in ${age(ms)}`;
}

/** @param {string} version */
export function short(version) {
  return version.slice(0, 8);
}
