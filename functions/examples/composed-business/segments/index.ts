import { components, implement } from 'hearth/business';
import type { Base } from '../base.ts';

/** Stands for a customer database. */
const MEMBERS = [
  { id: 'm1', name: 'Ada', email: 'ada@example.com', country: 'DE', daysSinceOrder: 2, orders: 1 },
  { id: 'm2', name: 'Grace', email: 'grace@example.com', country: 'DE', daysSinceOrder: 400, orders: 12 },
  { id: 'm3', name: 'Edsger', email: 'edsger@example.com', country: 'NL', daysSinceOrder: 9, orders: 1 },
  { id: 'm4', name: 'Barbara', email: 'barbara@example.com', country: 'DE', daysSinceOrder: 20, orders: 1 },
  // Her mail server takes no mail: what happens then the README shows.
  { id: 'm5', name: 'Björk', email: 'bjork@mail.invalid', country: 'IS', daysSinceOrder: 5, orders: 1 },
];

type Member = (typeof MEMBERS)[number];

export default components<{ BASE: Base }>(({ BASE: { points } }) => {
  const find = (belongs: (member: Member) => boolean) => (input: { country: string; most: number }) => ({
    members: MEMBERS.filter((member) => member.country === input.country && belongs(member)).slice(0, input.most),
  });
  return [
    implement(
      points.audience,
      'newcomers',
      find(({ orders, daysSinceOrder }) => orders === 1 && daysSinceOrder < 30),
      {
        description: 'One order, in the last month.',
      },
    ),
    implement(
      points.audience,
      'sleepers',
      find(({ daysSinceOrder }) => daysSinceOrder > 180),
      {
        description: 'No order for half a year.',
      },
    ),
  ];
});
