/** What the shop sells. Stands for a product service of another team. */
const PRODUCTS = [
  { id: 'tea', name: 'Darjeeling first flush', unit: '100 g' },
  { id: 'pot', name: 'Cast iron pot', unit: 'piece' },
  { id: 'lamp', name: 'Reading lamp', unit: 'piece' },
];

export default {
  fetch(request: Request): Response {
    const [collection, id, ...rest] = new URL(request.url).pathname.split('/').filter(Boolean);
    if (collection !== 'products' || rest.length > 0) return Response.json({ error: 'no such page' }, { status: 404 });
    if (request.method !== 'GET') {
      return Response.json({ error: 'only GET' }, { status: 405, headers: { allow: 'GET' } });
    }
    if (id === undefined) return Response.json({ products: PRODUCTS });
    const product = PRODUCTS.find((candidate) => candidate.id === id);
    return product === undefined
      ? Response.json({ error: `no product ${id}` }, { status: 404 })
      : Response.json(product);
  },
};
