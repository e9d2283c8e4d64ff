/** Prices in cents. `null`: under revision, so the service has no answer at the moment. */
const CENTS = new Map<string, number | null>([
  ['tea', 1450],
  ['pot', 5900],
  ['lamp', null],
]);

export default {
  fetch(request: Request): Response {
    const [collection, id, ...rest] = new URL(request.url).pathname.split('/').filter(Boolean);
    if (collection !== 'prices' || id === undefined || rest.length > 0) {
      return Response.json({ error: 'ask for /prices/{product}' }, { status: 404 });
    }
    const cents = CENTS.get(id);
    if (cents === undefined) return Response.json({ error: `no price for ${id}` }, { status: 404 });
    if (cents === null) {
      const body = { error: `the price of ${id} is under revision` };
      return Response.json(body, { status: 503, headers: { 'retry-after': '60' } });
    }
    return Response.json({ product: id, cents, currency: 'EUR' });
  },
};
