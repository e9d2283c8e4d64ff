/** What the base definition brings along: shared libraries and setup, loaded from files before the policy shuts them off. */
import { createRequire, registerHooks } from 'node:module';
import type { BaseModules } from '../../functions/contract/handlers.ts';
import { describeThrown, headline } from './describe.ts';
import type { BaseTask } from './task.ts';

export interface Libraries {
  /** What modules get for these specifiers. */
  shared: ReadonlyMap<string, unknown>;
  /** Runs the setup; what it returns, or resolves with, is `env.BASE`. Null when there is none. */
  setup: ((modules: BaseModules) => unknown) | null;
  /** One of them has node:http already, so that it may make servers. */
  usesHttp: boolean;
}

/** Throws what a library or the setup module throws when it is loaded. */
export function loadLibraries(task: Pick<BaseTask, 'shared' | 'setupPath' | 'env'>): Libraries {
  let usesHttp = false;
  const watch = registerHooks({
    resolve(specifier, context, next) {
      if (specifier === 'http' || specifier === 'node:http') usesHttp = true;
      return next(specifier, context);
    },
  });
  try {
    const shared = new Map<string, unknown>();
    for (const { specifier, path } of task.shared) shared.set(specifier, createRequire(path)(path));
    const setup: unknown = task.setupPath === null ? undefined : createRequire(task.setupPath)(task.setupPath);
    return {
      shared,
      setup: task.setupPath === null ? null : (modules) => callSetup(setup, task.env, modules),
      usesHttp,
    };
  } finally {
    watch.deregister();
  }
}

/** What the setup threw, told apart from what the module's own top level throws. */
class SetupError extends Error {
  override name = 'SetupError';

  constructor(cause: unknown) {
    const described = describeThrown(cause);
    super(`The setup of its base threw ${headline(described)}`, { cause });
    this.stack = described.stack;
  }
}

function callSetup(setup: unknown, env: Record<string, string>, modules: BaseModules): unknown {
  const exported = (setup as { default?: unknown } | undefined)?.default ?? setup;
  if (typeof exported !== 'function') return exported;
  try {
    const made: unknown = exported({ env: { ...env }, modules });
    if (!(made instanceof Promise)) return made;
    return made.catch((error: unknown) => {
      throw new SetupError(error);
    });
  } catch (error) {
    throw new SetupError(error);
  }
}
