import type { Service } from 'hearth';
import type Calculator from '../rpc-calculator/index.ts';

interface Env {
  CALCULATOR: Service<Calculator>;
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const cents = new URL(request.url).searchParams.getAll('cents').map(Number);
    if (cents.length === 0) return Response.json({ error: 'give some: /?cents=250&cents=1299' }, { status: 400 });
    // Ends the tape there as soon as the block ends here.
    using tape = await env.CALCULATOR.tape();
    const lines: string[] = [];
    try {
      // Not awaited one by one: they go out together, in this order.
      await Promise.all(cents.map((entry) => tape.add(entry)));
      await tape.print((entry, place) => lines.push(`${place}. ${(entry / 100).toFixed(2)}`));
    } catch (error) {
      // What it threw there, with its class and its message.
      if (error instanceof RangeError) return Response.json({ error: error.message }, { status: 400 });
      throw error;
    }
    const total = await tape.total;
    // One round trip: `total` is asked of a tape that has not come back yet.
    const withTip = await env.CALCULATOR.tape()
      .add(total)
      .add(Math.round(total / 10)).total;
    return new Response(
      `${lines.join('\n')}\ntotal ${(total / 100).toFixed(2)}, with tip ${(withTip / 100).toFixed(2)}\n`,
    );
  },
};
