/**
 * What campaigns are made of, said once: requests and answers of a campaign, and the points that components fill. From
 * here come the checks at run time, the types that modules are written against, and the documentation that each business
 * shows at its address.
 */
import { defineExtensionPoint } from 'hearth/business';
import { z } from 'zod';

const member = z.object({
  id: z.string(),
  name: z.string(),
  email: z.email(),
});

export const campaignRequest = z.object({
  campaign: z.string().min(1).max(60).describe('Its name, as customers read it'),
  audience: z.enum(['newcomers', 'sleepers']).describe('Whom it is for; chooses the template'),
  country: z.string().length(2).describe('ISO 3166, such as DE'),
  percent: z.int().min(1).max(50).default(10).describe('What the voucher takes off'),
});

export const campaignAnswer = z.object({
  campaign: z.string(),
  reached: z.int().describe('Members that were written to'),
  batch: z.string().nullable().describe('Of vouchers, for the books; null: there were none'),
});

export const points = {
  audience: defineExtensionPoint({
    name: 'audience',
    description: 'Finds the members that a campaign is for.',
    input: z.object({ country: z.string(), most: z.int().min(1) }),
    output: z.object({ members: z.array(member) }),
  }),
  voucher: defineExtensionPoint({
    name: 'voucher',
    description: 'Issues one voucher for each member. Compensated by taking the batch back.',
    input: z.object({ campaign: z.string(), percent: z.int().min(1).max(50), members: z.array(z.string()) }),
    output: z.object({ batch: z.string(), codes: z.record(z.string(), z.string()).describe('By member') }),
  }),
  draft: defineExtensionPoint({
    name: 'draft',
    description: 'Words a letter.',
    input: z.object({ campaign: z.string(), country: z.string() }),
    output: z.object({ subject: z.string(), text: z.string().describe('NAME and CODE stand for what differs') }),
  }),
  delivery: defineExtensionPoint({
    name: 'delivery',
    description: 'Sends one letter to each member. What was sent cannot be taken back, so it comes last.',
    input: z.object({
      subject: z.string(),
      text: z.string(),
      to: z.array(member.extend({ code: z.string().nullable() })),
    }),
    output: z.object({ sent: z.int() }),
  }),
};
