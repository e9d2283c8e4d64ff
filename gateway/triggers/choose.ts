/** Who serves an invocation that did not come over a route: asked for by hand, or asynchronous. */
import { EarlyBody, HttpAsk } from '../registry/ask.ts';
import type { FunctionEntry, VersionEntry } from '../registry/registry.ts';
import type { Choice } from '../registry/traffic.ts';
import { ARM } from '../telemetry/names.ts';
import type { TriggerHead } from './dispatcher.ts';
import { servedBy } from './served-by.ts';

/** As the traffic has it for such a trigger. Undefined when no version takes traffic. */
export function chooseVersion(
  entry: FunctionEntry,
  head: TriggerHead,
  body: Uint8Array | null,
): Choice<VersionEntry> | undefined {
  const { active } = entry;
  if (active === undefined) return undefined;
  const split = (version = active) => ({ version, arm: ARM.split });
  switch (head.trigger) {
    case 'http': {
      const early = new EarlyBody();
      if (body !== null) early.add(body);
      early.end();
      return entry.choose(new HttpAsk(head.headers, new URL(head.url).search, early)) ?? split();
    }
    case 'cron':
      return split(servedBy(entry, 'scheduled'));
    case 'queue':
      return split(servedBy(entry, 'queue'));
    case 'rpc':
      return split(entry.pick(null));
  }
}
