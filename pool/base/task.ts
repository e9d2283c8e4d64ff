import type { Gauges } from './gauge.ts';

/** What the host gives a base when it boots: the argument of the one `run()` that is the base's whole life. */
export interface BaseTask {
  /** Id of this base, `faas.instance` of what runs in it. */
  base: string;
  /** The gateway's Unix socket, and the token that admits this one connection. */
  socketPath: string;
  token: string;
  /** What the base definition shares: exact import specifiers and the files that hold them. Loaded before warm. */
  shared: { specifier: string; path: string }[];
  /** Bundled setup module of the base definition; null: none. */
  setupPath: string | null;
  /** Variables of the gateway's environment that the base definition names: seen by `setup` alone. */
  env: Record<string, string>;
  /** The one directory for this base's module files. Everything else it may read is dropped after boot. */
  filesDir: string;
  /** Put in by the host, which watches the base by them. */
  gauges?: Gauges;
}
