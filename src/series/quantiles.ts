/** The quantile levels that every forecast carries, in order: one home for features, engine and config. */
export const QUANTILES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] as const;
