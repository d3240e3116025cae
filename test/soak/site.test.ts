// `npm run test:soak -- site`: the random run of test/fault for 20 minutes; SITE_MINUTES and SITE_SEED change it.
process.env.SITE_MINUTES ??= '20';
await import('../fault/site-random.test.ts');

export {};
