/** What a view is given: calls, a rhythm to look again, and ways to say how something went. */
import { problemFrom } from './api.js';
import { confirm } from './dialog.js';

/** @import { Api } from './api.js' */
/** @import { Page, Problem } from './types.d.ts' */

/** Between two looks passes so many times what one takes: thousands of functions are asked for more seldom. */
const LEISURE = 5;

/**
 * @typedef {object} Outlet What the frame around the views does with it.
 * @property {() => void} update
 * @property {(message: string) => void} say
 */

/**
 * @param {Api} api
 * @param {Outlet} outlet
 */
export function createPage(api, { update, say }) {
  const ending = new AbortController();
  const { signal } = ending;
  /** Of what is loaded again and again: by loader. @type {Map<object, Problem>} */
  const loadProblems = new Map();
  /** @type {Problem | null} */
  let actionProblem = null;
  let loading = 0;
  let acting = 0;

  /** @param {() => Promise<void>} load */
  async function look(load) {
    try {
      await load();
      loadProblems.delete(load);
    } catch (error) {
      if (!signal.aborted) loadProblems.set(load, problemFrom(error));
    }
  }

  /** @param {number} ms @param {() => Promise<void>} load */
  async function keepLooking(ms, load) {
    loading++;
    await look(load);
    loading--;
    if (!signal.aborted) update();
    let tookMs = 0;
    while (!signal.aborted) {
      await pause(Math.max(ms, tookMs * LEISURE), signal);
      if (signal.aborted || document.hidden) continue;
      const from = performance.now();
      await look(load);
      tookMs = performance.now() - from;
      if (!signal.aborted) update();
    }
  }

  /** @type {Page} */
  const page = {
    api,
    signal,
    update: () => {
      if (!signal.aborted) update();
    },
    every: (ms, load) => void keepLooking(ms, load),
    async act(done, action) {
      acting++;
      actionProblem = null;
      update();
      try {
        await action();
        if (done !== '') say(done);
        return true;
      } catch (error) {
        actionProblem = problemFrom(error);
        return false;
      } finally {
        acting--;
        page.update();
      }
    },
    confirm,
    go(path) {
      location.hash = path;
    },
    get busy() {
      return acting > 0;
    },
  };

  return {
    page,
    end: () => ending.abort(),
    isLoading: () => loading > 0,
    dismiss() {
      actionProblem = null;
      update();
    },
    /** The same one said by several loaders is shown once. */
    problems() {
      /** @type {Map<string, Problem>} */
      const distinct = new Map();
      for (const problem of loadProblems.values()) distinct.set(`${problem.code} ${problem.detail}`, problem);
      return { action: actionProblem, loads: [...distinct.values()] };
    },
  };
}

/** @param {number} ms @param {AbortSignal} signal Resolves then as well. @returns {Promise<void>} */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });
}
