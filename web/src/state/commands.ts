// Slash commands as a person sees them: each subcommand is one entry, found by what was typed after the slash.

import { type Command, type CommandOption, type CommandOptionValue, type Id, OptionType } from "../api/types";

export interface CommandEntry {
  command: Command;
  /** `music play`: the command and the subcommands that lead to this entry. */
  name: string;
  description: string;
  /** The subcommands on the way, outermost first. */
  path: readonly CommandOption[];
  /** What it takes. */
  options: readonly CommandOption[];
}

const SLASH = 1;

export function entriesOf(commands: readonly Command[]): CommandEntry[] {
  return commands.filter((command) => command.type === SLASH).flatMap((command) => expand(command, command.name, command.description, [], command.options ?? []));
}

function expand(command: Command, name: string, description: string, path: readonly CommandOption[], options: readonly CommandOption[]): CommandEntry[] {
  const inner = options.filter((option) => option.type === OptionType.subCommand || option.type === OptionType.subCommandGroup);
  if (inner.length === 0) return [{ command, name, description, path, options }];
  return inner.flatMap((option) => expand(command, `${name} ${option.name}`, option.description, [...path, option], option.options ?? []));
}

/** Those that begin with what was typed, then those that contain it. */
export function findCommands(entries: readonly CommandEntry[], query: string, limit: number): CommandEntry[] {
  const wanted = query.trim().toLowerCase();
  const rank = (entry: CommandEntry) => (entry.name.startsWith(wanted) ? 0 : entry.name.includes(wanted) ? 1 : 2);
  return entries
    .filter((entry) => rank(entry) < 2)
    .toSorted((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name))
    .slice(0, limit);
}

/** What was entered, as it is sent: by option name. `focused`: the option that is being written, for its proposals. */
export function optionValues(entry: CommandEntry, entered: Readonly<Record<string, string>>, focused: string | null): CommandOptionValue[] {
  const values = entry.options.flatMap((option): CommandOptionValue[] => {
    const text = entered[option.name] ?? "";
    const isFocused = option.name === focused;
    if (text === "" && !isFocused) return [];
    const value = isFocused ? text : typed(option.type, text);
    return [{ type: option.type, name: option.name, value, ...(isFocused ? { focused: true } : {}) }];
  });
  return entry.path.toReversed().reduce<CommandOptionValue[]>((inside, step) => [{ type: step.type, name: step.name, options: inside }], values);
}

function typed(type: number, text: string): string | number | boolean {
  if (type === OptionType.integer || type === OptionType.number) return Number(text);
  return type === OptionType.boolean ? text === "true" : text;
}

/** Why an entered text is not good for its option; `null`: it is. */
export function optionProblem(option: CommandOption, text: string): string | null {
  if (text === "") return option.required === true ? "This is needed." : null;
  if (option.type === OptionType.integer && !/^-?\d{1,15}$/.test(text)) return "A whole number is needed.";
  if (option.type === OptionType.number && (text.trim() === "" || Number.isNaN(Number(text)))) return "A number is needed.";
  return null;
}

/** The id in a mention or the bare id. */
export function idIn(text: string): Id | null {
  return /^<?[@#]?[!&]?(\d{15,20})>?$/.exec(text.trim())?.[1] ?? null;
}
