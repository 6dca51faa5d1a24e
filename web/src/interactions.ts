// What people do with bots: commands, buttons, menus and forms. A request says what was done; how it went comes back over
// the gateway under the same nonce.

import { createStore } from "zustand/vanilla";
import type { ApiClient } from "./api/client";
import { sentence } from "./api/error";
import type { Command, CommandIndex, CommandOptionValue, Component, Id, Message, Modal, OptionChoice } from "./api/types";
import type { Dispatch } from "./gateway/protocol";
import { nonce } from "./state/snowflake";

export const InteractionType = { command: 2, component: 3, autocomplete: 4, modal: 5 } as const;
/** A bot has three seconds to answer; a little more for the way. */
const ANSWER_MS = 5_000;
/** Commands that were just listed are not asked for again. */
const INDEX_MS = 60_000;

interface Pending {
  messageId: Id | null;
  customId: string | null;
}

export interface InteractionState {
  /** By nonce. */
  pending: Readonly<Record<string, Pending>>;
  /** The form that a bot asks this person to fill in. */
  modal: (Modal & { guildId: Id | null; channelId: Id }) | null;
  /** What a bot proposes for the option that is being written. */
  choices: { nonce: string; choices: readonly OptionChoice[] } | null;
}

export interface Place {
  guildId: Id | null;
  channelId: Id;
}

export class Interactions {
  readonly store = createStore<InteractionState>()(() => ({ pending: {}, modal: null, choices: null }));
  readonly #api: ApiClient;
  readonly #sessionId: () => string | null;
  readonly #notify: (text: string) => void;
  readonly #places = new Map<string, Place>();
  readonly #indexes = new Map<Id, { atMs: number; index: Promise<CommandIndex> }>();

  constructor(api: ApiClient, sessionId: () => string | null, notify: (text: string) => void) {
    this.#api = api;
    this.#sessionId = sessionId;
    this.#notify = notify;
  }

  /** The commands that can be run in a guild. */
  commands(guildId: Id): Promise<CommandIndex> {
    const known = this.#indexes.get(guildId);
    if (known !== undefined && Date.now() - known.atMs < INDEX_MS) return known.index;
    const index = this.#api.commandIndex(guildId);
    this.#indexes.set(guildId, { atMs: Date.now(), index });
    // A failure is not remembered.
    index.catch(() => this.#indexes.delete(guildId));
    return index;
  }

  async runCommand(place: Place, command: Command, options: readonly CommandOptionValue[]): Promise<boolean> {
    return this.#send(place, InteractionType.command, command.application_id, {}, commandData(command, options), null);
  }

  /** Asks the bot what to propose; the answer comes into `choices`. */
  async complete(place: Place, command: Command, options: readonly CommandOptionValue[]): Promise<void> {
    await this.#send(place, InteractionType.autocomplete, command.application_id, {}, commandData(command, options), null);
  }

  async press(message: Message, guildId: Id | null, component: Component, values?: readonly string[]): Promise<void> {
    const application = message.application_id ?? message.author.id;
    const customId = component.custom_id ?? "";
    const data = { component_type: component.type, custom_id: customId, ...(values === undefined ? {} : { values, type: component.type }) };
    const extra = { message_id: message.id, message_flags: message.flags ?? 0 };
    await this.#send({ guildId, channelId: message.channel_id }, InteractionType.component, application, extra, data, { messageId: message.id, customId });
  }

  async submitModal(modal: NonNullable<InteractionState["modal"]>, components: readonly unknown[]): Promise<boolean> {
    const data = { id: modal.id, custom_id: modal.custom_id, components };
    const isSent = await this.#send(modal, InteractionType.modal, modal.application.id, {}, data, null);
    if (isSent) this.closeModal();
    return isSent;
  }

  closeModal(): void {
    this.store.setState({ modal: null });
  }

  forgetChoices(): void {
    this.store.setState({ choices: null });
  }

  onDispatch(dispatch: Dispatch): void {
    switch (dispatch.t) {
      case "INTERACTION_SUCCESS":
        this.#settle(dispatch.d.nonce);
        return;
      case "INTERACTION_FAILURE":
        if (this.#settle(dispatch.d.nonce)) this.#notify("The bot did not answer.");
        return;
      case "INTERACTION_MODAL_CREATE": {
        const place = this.#places.get(dispatch.d.nonce ?? "") ?? { guildId: null, channelId: dispatch.d.channel_id };
        this.#settle(dispatch.d.nonce);
        this.store.setState({ modal: { ...dispatch.d, ...place } });
        return;
      }
      case "APPLICATION_COMMAND_AUTOCOMPLETE_RESPONSE":
        this.#settle(dispatch.d.nonce);
        this.store.setState({ choices: { nonce: dispatch.d.nonce, choices: dispatch.d.choices } });
        return;
      case "READY":
        this.#places.clear();
        this.store.setState({ pending: {}, modal: null, choices: null });
        return;
      default:
    }
  }

  async #send(place: Place, type: number, application: Id, extra: object, data: object, pending: Pending | null): Promise<boolean> {
    const key = nonce(Date.now(), Math.random);
    this.#places.set(key, place);
    this.store.setState((state) => ({ pending: { ...state.pending, [key]: pending ?? { messageId: null, customId: null } } }));
    const guild = place.guildId === null ? {} : { guild_id: place.guildId };
    try {
      await this.#api.interact({ type, application_id: application, channel_id: place.channelId, session_id: this.#sessionId(), nonce: key, ...guild, ...extra, data });
    } catch (error) {
      this.#settle(key);
      if (type !== InteractionType.autocomplete) this.#notify(`That did not work. ${sentence(error)}`);
      return false;
    }
    // An event that was lost must not leave a button waiting for ever.
    setTimeout(() => this.#settle(key), ANSWER_MS);
    return true;
  }

  /** Whether it was waiting. */
  #settle(key: string | undefined): boolean {
    if (key === undefined) return false;
    this.#places.delete(key);
    const { pending } = this.store.getState();
    if (pending[key] === undefined) return false;
    const { [key]: _, ...rest } = pending;
    this.store.setState({ pending: rest });
    return true;
  }
}

function commandData(command: Command, options: readonly CommandOptionValue[]): object {
  return { version: command.version, id: command.id, name: command.name, type: command.type, options, attachments: [] };
}
