/** REDIS_URL as what a connection is made of. */
import type { Target } from './connection.ts';

export const REDIS_URL_ALLOWED =
  'redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], rediss:// for TLS, or unix:///PATH of a socket';

/** Undefined: it is none. */
export function readRedisUrl(text: string): Target | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (![url.username, url.password, url.pathname].every(isDecodable)) return undefined;
  const secrets = {
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
  };
  if (url.search !== '' || url.hash !== '') return undefined;
  if (url.protocol === 'unix:') {
    if (url.host !== '' || url.pathname.length < 2) return undefined;
    return { options: { path: decodeURIComponent(url.pathname), ...secrets }, shown: url.pathname };
  }
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') return undefined;
  const database = /^(?:\/(\d{1,4})?)?$/.exec(url.pathname);
  if (url.hostname === '' || database === null) return undefined;
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = url.port === '' ? 6379 : Number(url.port);
  return {
    options: {
      host,
      port,
      ...secrets,
      ...(database[1] === undefined ? {} : { db: Number(database[1]) }),
      ...(url.protocol === 'rediss:' ? { tls: { servername: host } } : {}),
    },
    shown: `${url.hostname}:${port}`,
  };
}

/** A percent sign of a password that was not written as %25 is none of an escape. */
function isDecodable(part: string): boolean {
  try {
    decodeURIComponent(part);
    return true;
  } catch {
    return false;
  }
}
