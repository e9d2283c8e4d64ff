import { type Job, jobOf, perform } from './job.ts';

interface Env {
  JOBS: {
    get(key: string): Promise<string | null>;
    put(key: string, value: string): Promise<void>;
  };
  QUEUE: { send(job: Job): Promise<void> };
}

interface Message {
  body: Job;
  attempts: number;
  ack(): void;
  retry(options?: { delaySeconds?: number }): void;
}

export default {
  /** POST / takes a job in: 202 means that it is on disk. GET /ID tells what came of it. */
  async fetch(request: Request, env: Env): Promise<Response> {
    if (request.method === 'POST') {
      const job = jobOf(await request.text());
      if (job === null) return Response.json({ error: 'the body has to be JSON: {"text": "…"}' }, { status: 400 });
      await env.QUEUE.send(job);
      return Response.json({ id: job.id }, { status: 202 });
    }
    const id = new URL(request.url).pathname.slice(1);
    const result = await env.JOBS.get(id);
    return result === null ? Response.json({ error: `no result of ${id} yet` }, { status: 404 }) : new Response(result);
  },

  /** At least once: a job may come again, and is then done again. What fails four times is in hearth-template-jobs.dead. */
  async queue(batch: { messages: Message[] }, env: Env): Promise<void> {
    for (const message of batch.messages) {
      try {
        await env.JOBS.put(message.body.id, perform(message.body));
        message.ack();
      } catch (error) {
        console.warn(`job ${message.body.id}, attempt ${message.attempts}`, error);
        message.retry({ delaySeconds: 2 ** message.attempts });
      }
    }
  },
};
