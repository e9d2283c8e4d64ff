/** What the gateway says when it is ready: for a person on a terminal, or as one JSON line. */

export interface Ready {
  url: string;
  adminUrl: string;
  /** Absent: arklet's API is off. */
  arkletUrl?: string;
  dataDir: string;
  /** null: it was given as a setting. */
  tokenFile: string | null;
  /** Examples that were deployed. */
  examples: string[];
  startedInMs: number;
}

/** Ends with the line `ready`. */
export function readyText(ready: Ready): string {
  const rows = [
    ['functions', ready.url],
    ['dashboard', ready.adminUrl],
    ['control API', `${ready.adminUrl}/v1`],
    ['docs', `${ready.adminUrl}/docs`],
    ...(ready.arkletUrl === undefined ? [] : [['arklet API', ready.arkletUrl]]),
    ['admin token', ready.tokenFile ?? 'as set in HEARTH_ADMIN_TOKEN'],
    ['state', ready.dataDir],
    ...(ready.examples.length === 0 ? [] : [['examples', ready.examples.map((name) => `/${name}`).join(' ')]]),
    ...(ready.examples.includes('hello') ? [['try', `curl ${ready.url}/hello`]] : []),
  ];
  const lines = rows.map(([what = '', where = '']) => `  ${what.padEnd(12)}${where}`);
  return `\nHearth, started in ${Math.round(ready.startedInMs)} ms\n\n${lines.join('\n')}\n\nready\n`;
}

/** One line, whatever HEARTH_LOG is: scripts wait for it. */
export function readyLine(ready: Ready): string {
  return `${JSON.stringify({ time: new Date().toISOString(), level: 'info', msg: 'ready', ...ready })}\n`;
}

/** As a URL shows it: IPv6 in brackets, and an address to reach where all are listened on. */
export function urlOf(host: string, port: number): string {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}
