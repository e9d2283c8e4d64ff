/** Counters, and sequences of unique numbers. */
import type { Exchange } from '../../pool/link/link.ts';
import type { CounterStore } from '../store/api/counters.ts';
import { NO_BODY } from './body.ts';
import type { CheckedCalls } from './calls.ts';

/** Answers `{value}`. `namespace` is a stored one. Rejects with HearthError. */
export async function counterCall(
  store: CounterStore,
  namespace: string,
  call: CheckedCalls['counter'],
  exchange: Exchange,
): Promise<void> {
  exchange.handler = NO_BODY;
  exchange.sendHead({ value: await answerOf(store, namespace, call) }, null, true);
}

function answerOf(store: CounterStore, namespace: string, call: CheckedCalls['counter']): Promise<number> {
  // A sequence is no counter of its name: that could be counted down, and give a number twice.
  const counter = `counter:${call.counter}`;
  switch (call.op) {
    case 'counter.add':
      return store.add(namespace, counter, call.by);
    case 'counter.get':
      return store.get(namespace, counter);
    case 'counter.next':
      return store.add(namespace, `sequence:${call.counter}`, 1);
    case 'counter.delete':
      return store.delete(namespace, counter).then(() => 0);
  }
}
