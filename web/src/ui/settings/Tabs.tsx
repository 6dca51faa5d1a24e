import { type KeyboardEvent, type ReactNode, useState } from "react";
import styles from "./settings.module.css";

export interface Tab {
  id: string;
  title: string;
  content: ReactNode;
}

/** One of several pages, chosen at the top. */
export function Tabs({ tabs }: { tabs: readonly Tab[] }) {
  const [chosen, choose] = useState(tabs[0]?.id);
  return (
    <div className={styles.tabs}>
      <div role="tablist" tabIndex={-1} onKeyDown={moveFocus}>
        {tabs.map((tab) => (
          <button key={tab.id} type="button" role="tab" aria-selected={tab.id === chosen} tabIndex={tab.id === chosen ? 0 : -1} data-testid={`tab-${tab.id}`} onClick={() => choose(tab.id)}>
            {tab.title}
          </button>
        ))}
      </div>
      <div role="tabpanel">{tabs.find((tab) => tab.id === chosen)?.content}</div>
    </div>
  );
}

/** Arrow keys go from tab to tab and choose, as in every list of tabs; Tab goes into the page. */
function moveFocus(event: KeyboardEvent<HTMLDivElement>): void {
  if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  const tabs = [...event.currentTarget.querySelectorAll<HTMLElement>('[role="tab"]')];
  const at = tabs.indexOf(event.target as HTMLElement);
  const next = tabs[(at + (event.key === "ArrowRight" ? 1 : tabs.length - 1)) % tabs.length];
  event.preventDefault();
  next?.focus();
  next?.click();
}
