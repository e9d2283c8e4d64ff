import { business, defineBusiness, defineFlow } from 'hearth/business';
import type { Base } from '../base.ts';

/** Vouchers and a letter, for newcomers or for those who have not ordered for long. */
export default business<{ BASE: Base }>(({ BASE: { points, campaignRequest, campaignAnswer } }) => {
  const flow = (audience: 'newcomers' | 'sleepers', most: number) =>
    defineFlow({
      name: audience,
      input: campaignRequest,
      output: campaignAnswer,
      steps: (steps) =>
        steps
          .step('audience', points.audience, {
            from: 'SEGMENTS',
            component: audience,
            input: ({ request: { country } }) => ({ country, most }),
            retry: { attempts: 3 },
          })
          .parallel((parts) =>
            parts
              .step('voucher', points.voucher, {
                from: 'VOUCHERS',
                component: 'percent',
                when: ({ done }) => done.audience.members.length > 0,
                input: ({ request: { campaign, percent }, done }) => ({
                  campaign,
                  percent,
                  members: done.audience.members.map(({ id }) => id),
                }),
                retry: { attempts: 3, backoffMs: 50 },
              })
              .step('draft', points.draft, {
                from: 'MESSAGES',
                component: 'short',
                input: ({ request: { campaign, country } }) => ({ campaign, country }),
              }),
          )
          .step('delivery', points.delivery, {
            from: 'MESSAGES',
            component: 'mail',
            when: ({ done }) => done.audience.members.length > 0,
            input: ({ done: { audience, voucher, draft } }) => ({
              ...draft,
              to: audience.members.map((one) => ({ ...one, code: voucher?.codes[one.id] ?? null })),
            }),
            retry: { attempts: 2, backoffMs: 50 },
            timeoutMs: 5000,
          }),
      result: ({ request: { campaign }, done: { voucher, delivery } }) => ({
        campaign,
        reached: delivery?.sent ?? 0,
        batch: voucher?.batch ?? null,
      }),
    });
  return defineBusiness({
    name: 'spring',
    description: 'The campaign of the spring: vouchers by mail.',
    input: campaignRequest,
    output: campaignAnswer,
    choose: ({ audience }) => audience,
    templates: { newcomers: flow('newcomers', 1000), sleepers: flow('sleepers', 100) },
  });
});
