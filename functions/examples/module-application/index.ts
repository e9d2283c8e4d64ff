import type { KVNamespace, ScheduledController } from 'hearth';
import { Hono } from 'hono';
import { dayOf, numberOf } from './numbers.ts';
import { page } from './page.ts';

interface Env {
  GAME: KVNamespace;
  SEED: string;
  MOST: number;
}

/** One player's hunt on one day. */
interface Hunt {
  player: string;
  guesses: number;
  found: boolean;
}

const DAY_MS = 86_400_000;
/** Hunts are looked at for a month. */
const KEPT_SECONDS = 31 * 86_400;

const app = new Hono<{ Bindings: Env }>().basePath('/hunt');

app.get('/', (c) => c.html(page(c.env.MOST)));

app.post('/:player/guesses', async (c) => {
  const player = c.req.param('player');
  if (!/^[A-Za-z0-9_-]{1,20}$/.test(player)) return c.json({ error: 'a player is 1 to 20 letters or digits' }, 400);
  const body = await c.req.json<{ guess?: unknown }>().catch(() => null);
  const guess = body?.guess;
  if (typeof guess !== 'number' || !Number.isInteger(guess) || guess < 1 || guess > c.env.MOST) {
    return c.json({ error: `guess: a whole number from 1 to ${c.env.MOST}` }, 400);
  }
  const day = dayOf(Date.now());
  const key = `${day}/${player}`;
  const before = (await c.env.GAME.get<Hunt>(key, 'json')) ?? { player, guesses: 0, found: false };
  if (before.found) return c.json({ error: 'found already; come back tomorrow' }, 409);

  const number = await numberOf(day, c.env.SEED, c.env.MOST);
  const now: Hunt = { player, guesses: before.guesses + 1, found: guess === number };
  await c.env.GAME.put(key, JSON.stringify(now), { metadata: now, expirationTtl: KEPT_SECONDS });
  return c.json({ answer: guess === number ? 'found' : guess < number ? 'higher' : 'lower', guesses: now.guesses });
});

/** Today's hunts: who has found the number, with the fewest guesses first. */
app.get('/board', async (c) => {
  const day = dayOf(Date.now());
  return c.json({ day, players: await boardOf(c.env.GAME, day) });
});

app.get('/winners', async (c) => c.json((await c.env.GAME.get('winners', 'json')) ?? []));

async function boardOf(game: KVNamespace, day: string): Promise<Hunt[]> {
  const { keys } = await game.list<Hunt>({ prefix: `${day}/` });
  const hunts = keys.flatMap(({ metadata }) => (metadata === undefined ? [] : [metadata]));
  return hunts.sort((a, b) => Number(b.found) - Number(a.found) || a.guesses - b.guesses);
}

export default {
  fetch: app.fetch,

  /** Midnight: the day that has ended gets its winner. A run that is made up for later writes the same. */
  async scheduled(controller: ScheduledController, env: Env): Promise<void> {
    const day = dayOf(controller.scheduledTime - DAY_MS);
    const [winner] = (await boardOf(env.GAME, day)).filter(({ found }) => found);
    const number = await numberOf(day, env.SEED, env.MOST);
    const known = (await env.GAME.get<{ day: string }[]>('winners', 'json')) ?? [];
    const entry = { day, number, winner: winner?.player ?? null, guesses: winner?.guesses ?? null };
    await env.GAME.put('winners', JSON.stringify([entry, ...known.filter((one) => one.day !== day)].slice(0, 30)));
  },
};
