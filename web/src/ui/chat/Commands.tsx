import { type FormEvent, useEffect, useRef, useState } from "react";
import { ChannelType, type CommandOption, type Id, OptionType } from "../../api/types";
import type { Place } from "../../interactions";
import { type CommandEntry, entriesOf, findCommands, optionProblem, optionValues } from "../../state/commands";
import { channelGroups, displayName } from "../../state/select";
import { useApp, useInteractions, useModel } from "../context";
import { Button, IconButton } from "../parts/Button";
import { CloseIcon } from "../parts/icons";
import styles from "./Commands.module.css";

const LISTED = 8;
/** A pause in writing before a bot is asked what to propose. */
const PROPOSAL_MS = 300;

/** The commands that fit what stands after the slash; `null` query: none is wanted. */
export function useCommands(guildId: Id | null, query: string | null): readonly CommandEntry[] {
  const app = useApp();
  const [entries, setEntries] = useState<readonly CommandEntry[]>([]);
  const isWanted = query !== null && guildId !== null;
  useEffect(() => {
    if (!isWanted || guildId === null) return undefined;
    let isCurrent = true;
    app.interactions.commands(guildId).then(
      (index) => isCurrent && setEntries(entriesOf(index.application_commands)),
      // Without the list a slash is just a slash.
      () => isCurrent && setEntries([]),
    );
    return () => {
      isCurrent = false;
    };
  }, [app, guildId, isWanted]);
  return query === null ? [] : findCommands(entries, query, LISTED);
}

interface ListProps {
  entries: readonly CommandEntry[];
  /** Which one Enter takes. */
  active: number;
  onChoose: (entry: CommandEntry) => void;
}

export function CommandList({ entries, active, onChoose }: ListProps) {
  return (
    <ul className={styles.list} aria-label="Commands" data-testid="command-list">
      {entries.map((entry, at) => (
        <li key={`${entry.command.id}-${entry.name}`}>
          <button type="button" data-active={at === active} data-testid={`command-${entry.name.replaceAll(" ", "-")}`} onClick={() => onChoose(entry)}>
            <strong>/{entry.name}</strong>
            <span>{entry.description}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}

/** Takes the place of the composer while a command's options are filled in. */
export function CommandForm({ place, entry, onClose }: { place: Place & { guildId: Id }; entry: CommandEntry; onClose: () => void }) {
  const app = useApp();
  const [entered, setEntered] = useState<Readonly<Record<string, string>>>({});
  const [isChecked, setChecked] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  // The composer had the focus; what takes its place gets it.
  useEffect(() => form.current?.querySelector<HTMLElement>("input, select, [type=submit]")?.focus(), []);
  const problems = Object.fromEntries(entry.options.map((option) => [option.name, optionProblem(option, entered[option.name] ?? "")]));
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setChecked(true);
    if (Object.values(problems).some((problem) => problem !== null)) return;
    setBusy(true);
    const isSent = await app.interactions.runCommand(place, entry.command, optionValues(entry, entered, null));
    setBusy(false);
    if (isSent) onClose();
  };
  return (
    <form
      ref={form}
      className={styles.form}
      data-testid="command-form"
      onSubmit={(event) => void submit(event)}
    >
      <header>
        <strong>/{entry.name}</strong>
        <span>{entry.description}</span>
        <IconButton label="Do not run it" onClick={onClose}>
          <CloseIcon size={16} />
        </IconButton>
      </header>
      {entry.options.map((option) => (
        <Option
          key={option.name}
          place={place}
          entry={entry}
          option={option}
         
          value={entered[option.name] ?? ""}
          problem={isChecked ? (problems[option.name] ?? null) : null}
          entered={entered}
          onChange={(value) => setEntered({ ...entered, [option.name]: value })}
        />
      ))}
      <Button type="submit" disabled={isBusy} data-testid="command-run">
        Run
      </Button>
    </form>
  );
}

interface OptionProps {
  place: Place & { guildId: Id };
  entry: CommandEntry;
  option: CommandOption;
  value: string;
  problem: string | null;
  entered: Readonly<Record<string, string>>;
  onChange: (value: string) => void;
}

function Option({ place, entry, option, value, problem, entered, onChange }: OptionProps) {
  const id = `option-${option.name}`;
  const choices = useChoices(place.guildId, option);
  const note = problem ?? option.description;
  return (
    <div className={styles.option} data-invalid={problem !== null}>
      <label htmlFor={id}>
        {option.name}
        {option.required !== true && <small> (optional)</small>}
      </label>
      {choices === null ? (
        <OptionInput id={id} place={place} entry={entry} option={option} value={value} entered={entered} onChange={onChange} />
      ) : (
        <select id={id} value={value} data-testid={id} onChange={(event) => onChange(event.target.value)}>
          <option value="">Choose…</option>
          {choices.map((choice) => (
            <option key={choice.value} value={choice.value}>
              {choice.label}
            </option>
          ))}
        </select>
      )}
      <small>{note}</small>
    </div>
  );
}

function OptionInput({ id, place, entry, option, value, entered, onChange }: Omit<OptionProps, "problem"> & { id: string }) {
  const app = useApp();
  const proposals = useInteractions((state) => state.choices?.choices ?? null);
  useEffect(() => {
    if (option.autocomplete !== true) return undefined;
    const timer = setTimeout(() => void app.interactions.complete(place, entry.command, optionValues(entry, entered, option.name)), PROPOSAL_MS);
    return () => clearTimeout(timer);
    // What else was entered goes along, but only a change of this option asks anew.
    // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, [value]);
  useEffect(() => () => app.interactions.forgetChoices(), [app]);
  const listId = `${id}-proposals`;
  const isNumber = option.type === OptionType.integer || option.type === OptionType.number;
  return (
    <>
      <input
        id={id}
        value={value}
       
        inputMode={isNumber ? "decimal" : undefined}
        list={option.autocomplete === true ? listId : undefined}
        autoComplete="off"
        maxLength={6000}
        data-testid={id}
        onChange={(event) => onChange(event.target.value)}
      />
      {option.autocomplete === true && (
        <datalist id={listId} data-testid={listId}>
          {proposals?.map((choice) => (
            <option key={`${choice.name}-${choice.value}`} value={choice.value}>
              {choice.name}
            </option>
          ))}
        </datalist>
      )}
    </>
  );
}

interface Choice {
  value: string;
  label: string;
}

/** What an option can be chosen from; `null`: it is written. */
function useChoices(guildId: Id, option: CommandOption): readonly Choice[] | null {
  const flat = useModel((model): readonly string[] | null => {
    const people = () => Object.keys(model.members[guildId] ?? {}).map((id) => `${id} @${displayName(model, guildId, id)}`);
    const roles = () => (model.guilds[guildId]?.roles ?? []).map((role) => `${role.id} @${role.name}`);
    switch (option.type) {
      case OptionType.boolean:
        return ["true True", "false False"];
      case OptionType.user:
        return people();
      case OptionType.role:
        return roles();
      case OptionType.mentionable:
        return [...people(), ...roles()];
      case OptionType.channel:
        return channelGroups(model.channels, guildId)
          .flatMap((group) => group.text.concat(group.voice))
          .filter((channel) => option.channel_types === undefined || option.channel_types.includes(channel.type))
          .map((channel) => `${channel.id} ${channel.type === ChannelType.voice ? "" : "#"}${channel.name}`);
      default:
        return null;
    }
  });
  if (option.choices !== undefined && option.choices.length > 0) return option.choices.map((choice) => ({ value: String(choice.value), label: choice.name }));
  return flat?.map((entry) => ({ value: entry.slice(0, entry.indexOf(" ")), label: entry.slice(entry.indexOf(" ") + 1) })) ?? null;
}
