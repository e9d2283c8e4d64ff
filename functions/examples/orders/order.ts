export interface Order {
  id: string;
  customer: string;
  lines: { sku: string; quantity: number }[];
}

/** Stands for the price list. An article that is not on it (yet) makes the order fail and be tried again. */
const CENTS: Record<string, number> = { tea: 1450, pot: 5900 };

/** What is wrong with an order as it came in, in a sentence; null when nothing is. */
export function orderProblem(body: unknown): string | null {
  if (typeof body !== 'object' || body === null) return 'send a JSON object with customer and lines';
  const { customer, lines } = body as Record<string, unknown>;
  if (typeof customer !== 'string' || customer.trim() === '') return 'customer: a name is needed';
  if (!Array.isArray(lines) || lines.length < 1 || lines.length > 50) return 'lines: 1 to 50 of {sku, quantity}';
  for (const [index, line] of lines.entries()) {
    if (typeof line?.sku !== 'string' || line.sku === '') return `lines.${index}.sku: a text is needed`;
    if (!Number.isInteger(line.quantity) || line.quantity < 1 || line.quantity > 1000) {
      return `lines.${index}.quantity: a whole number from 1 to 1000`;
    }
  }
  return null;
}

/** Total in cents. Throws for an article that is not on the price list. */
export function price(order: Order): number {
  return order.lines.reduce((total, { sku, quantity }) => {
    if (!Object.hasOwn(CENTS, sku)) throw new Error(`no price for ${sku}`);
    return total + (CENTS[sku] ?? 0) * quantity;
  }, 0);
}
