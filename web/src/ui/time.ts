// Dates for people, in the browser's language.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });

export function clockTime(ms: number): string {
  return clock.format(ms);
}

export function dayName(ms: number): string {
  return day.format(ms);
}

export function fullTime(ms: number): string {
  return full.format(ms);
}
