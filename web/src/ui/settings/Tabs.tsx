import { type ReactNode, useState } from "react";
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
      <div role="tablist">
        {tabs.map((tab) => (
          <button key={tab.id} type="button" role="tab" aria-selected={tab.id === chosen} data-testid={`tab-${tab.id}`} onClick={() => choose(tab.id)}>
            {tab.title}
          </button>
        ))}
      </div>
      <div role="tabpanel">{tabs.find((tab) => tab.id === chosen)?.content}</div>
    </div>
  );
}
