// Light or dark: the browser's own matter, kept in it. The palette is in tokens.css.

export const THEMES = ["dark", "light", "system"] as const;
export type Theme = (typeof THEMES)[number];

const THEME_KEY = "guildhall.theme";

export function chosenTheme(): Theme {
  const kept = localStorage.getItem(THEME_KEY);
  return THEMES.find((theme) => theme === kept) ?? "dark";
}

export function chooseTheme(theme: Theme): void {
  localStorage.setItem(THEME_KEY, theme);
  showTheme();
}

/** Gives the page its theme. */
export function showTheme(): void {
  document.documentElement.dataset["theme"] = chosenTheme();
}
