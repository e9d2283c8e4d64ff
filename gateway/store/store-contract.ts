/**
 * What every Store has to do, as tests: run by each implementation's own test file. Knows none of them.
 *
 *     storeContract('sqlite', async () => ({ open, remove }));
 *     storeContract('redis', async () => ({ open, remove }), { shared: true });
 */
import { describe, it } from 'node:test';
import { accessContract } from './contract/access.ts';
import { answersContract } from './contract/answers.ts';
import { asyncsContract } from './contract/asyncs.ts';
import { basesContract } from './contract/bases.ts';
import { cronsContract } from './contract/crons.ts';
import { deadLettersContract } from './contract/dead-letters.ts';
import { diskContract } from './contract/disk.ts';
import { filesContract } from './contract/files.ts';
import type { SharedTest, StoreTest } from './contract/harness.ts';
import { kvContract } from './contract/kv.ts';
import { leasesContract } from './contract/leases.ts';
import { publicationsContract } from './contract/publications.ts';
import { queuesContract } from './contract/queues.ts';
import { registryContract } from './contract/registry.ts';
import { rolloutsContract } from './contract/rollouts.ts';
import { servicesContract, sharedServicesContract, topicsContract } from './contract/services.ts';
import { sharedContract } from './contract/shared.ts';
import type { Store } from './store.ts';

export interface StoreFixture {
  /** Opens it; after a close, the same data again. Of a shared store, also before it. */
  open(): Promise<Store>;
  /** Ends what the fixture has started and removes its data. */
  remove(): Promise<void>;
}

/** `shared`: several clients may have it open at once. */
export function storeContract(name: string, make: () => Promise<StoreFixture>, { shared = false } = {}): void {
  const test: StoreTest = (sentence, body) => {
    it(sentence, async () => {
      const fixture = await make();
      let store: Store | undefined;
      try {
        store = await fixture.open();
        await body(store, async () => {
          await store?.close();
          store = await fixture.open();
          return store;
        });
      } finally {
        await store?.close();
        await fixture.remove();
      }
    });
  };
  const sharedTest: SharedTest = (sentence, body) => {
    it(sentence, async () => {
      const fixture = await make();
      const stores: Store[] = [];
      try {
        const one = await fixture.open();
        stores.push(one);
        const two = await fixture.open();
        stores.push(two);
        await body(one, two);
      } finally {
        for (const store of stores) await store.close();
        await fixture.remove();
      }
    });
  };

  describe(`the ${name} store`, () => {
    registryContract(test);
    publicationsContract(test);
    rolloutsContract(test);
    basesContract(test);
    kvContract(test);
    filesContract(test);
    servicesContract(test);
    topicsContract(test);
    queuesContract(test);
    deadLettersContract(test);
    cronsContract(test);
    asyncsContract(test);
    answersContract(test);
    leasesContract(test);
    accessContract(test);
    diskContract(test);
    if (shared) {
      sharedContract(sharedTest);
      sharedServicesContract(sharedTest);
    }
  });
}
