interface Env {
  RUNS: {
    get(key: string): Promise<string | null>;
    put(key: string, value: string): Promise<void>;
  };
}

interface Tick {
  cron: string;
  /** Epoch ms at which it was due. */
  scheduledTime: number;
}

export default {
  async scheduled(tick: Tick, env: Env): Promise<void> {
    const runs = Number((await env.RUNS.get('count')) ?? 0) + 1;
    await env.RUNS.put('count', String(runs));
    await env.RUNS.put('last', new Date(tick.scheduledTime).toISOString());
    console.log(`run ${runs}, due by ${tick.cron}`);
  },

  async fetch(_request: Request, env: Env): Promise<Response> {
    return Response.json({ runs: Number((await env.RUNS.get('count')) ?? 0), last: await env.RUNS.get('last') });
  },
};
