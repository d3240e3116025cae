/** Bounds that several keys share. */

/** Leads of one forecast; the engine holds no more. */
export const MAX_LEADS = 336;
