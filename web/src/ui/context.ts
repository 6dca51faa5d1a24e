// How components reach the app and its stores.

import { createContext, useContext, useRef } from "react";
import { useStore } from "zustand";
import { useShallow } from "zustand/react/shallow";
import type { App, PageState } from "../app";
import type { InteractionState } from "../interactions";
import type { Model } from "../state/model";
import type { VoiceView } from "../voice/engine";

export const AppContext = createContext<App | null>(null);

export function useApp(): App {
  const app = useContext(AppContext);
  if (app === null) throw new Error("a component was rendered outside of AppContext");
  return app;
}

/** Selects from the model; renders again when the selected value is another (objects and arrays are compared one level deep). */
export function useModel<T>(select: (model: Model) => T): T {
  return useStore(useApp().store, useShallow(select));
}

/** A list that is made anew at every look, of objects: the same as long as it reads the same. */
export function useModelList<T>(select: (model: Model) => T[]): T[] {
  const known = useRef<{ list: T[]; text: string }>({ list: [], text: "[]" });
  return useStore(useApp().store, (model) => {
    const list = select(model);
    const text = JSON.stringify(list);
    if (text !== known.current.text) known.current = { list, text };
    return known.current.list;
  });
}

export function usePage<T>(select: (page: PageState) => T): T {
  return useStore(useApp().page, useShallow(select));
}

export function useInteractions<T>(select: (state: InteractionState) => T): T {
  return useStore(useApp().interactions.store, useShallow(select));
}

export function useVoice<T>(select: (voice: VoiceView) => T): T {
  return useStore(useApp().voice.store, useShallow(select));
}
