import { type ReactNode, useState } from "react";
import { ChannelType, type Component, ComponentType, type Id, type Message, type SelectOption } from "../../api/types";
import { channelGroups, displayName } from "../../state/select";
import { useApp, useInteractions, useModel } from "../context";
import { isOurs } from "../media";
import { Button } from "../parts/Button";
import styles from "./Components.module.css";
import { Emoji } from "./Emoji";
import { RichText } from "./RichText";

interface Props {
  message: Message;
  guildId: Id | null;
  components: readonly Component[];
}

/** What a bot puts below (or in place of) its text: buttons, menus, and whole layouts. */
export function Components({ message, guildId, components }: Props) {
  return (
    <div className={styles.components} data-testid="components">
      {components.map((component, at) => (
        <Part key={component.id ?? at} message={message} guildId={guildId} component={component} />
      ))}
    </div>
  );
}

function Part({ message, guildId, component }: { message: Message; guildId: Id | null; component: Component }): ReactNode {
  const inside = (component.components ?? []).map((child, at) => <Part key={child.id ?? at} message={message} guildId={guildId} component={child} />);
  switch (component.type) {
    case ComponentType.actionRow:
      return <div className={styles.row}>{inside}</div>;
    case ComponentType.button:
      return <ButtonPart message={message} guildId={guildId} component={component} />;
    case ComponentType.stringSelect:
      return <Select message={message} guildId={guildId} component={component} options={component.options ?? []} />;
    case ComponentType.userSelect:
    case ComponentType.mentionableSelect:
    case ComponentType.roleSelect:
    case ComponentType.channelSelect:
      return <EntitySelect message={message} guildId={guildId} component={component} />;
    case ComponentType.section:
      return (
        <div className={styles.section}>
          <div>{inside}</div>
          {component.accessory !== undefined && <Part message={message} guildId={guildId} component={component.accessory} />}
        </div>
      );
    case ComponentType.text:
      return (
        <div className={styles.text}>
          <RichText content={component.content ?? ""} guildId={guildId} />
        </div>
      );
    case ComponentType.thumbnail:
      return <Picture url={component.media?.url} alt={component.description ?? ""} className={styles.thumbnail} />;
    case ComponentType.gallery:
      return (
        <div className={styles.gallery}>
          {(component.items ?? []).map((item) => (
            <Picture key={item.media.url} url={item.media.url} alt={item.description ?? ""} className={styles.picture} />
          ))}
        </div>
      );
    case ComponentType.file:
      return <Picture url={component.file?.url} alt="" className={styles.picture} />;
    case ComponentType.separator:
      return <hr className={styles.separator} data-divider={component.divider !== false} />;
    case ComponentType.container: {
      const color = component.accent_color;
      return (
        <section className={styles.container} style={{ borderLeftColor: typeof color === "number" ? `#${color.toString(16).padStart(6, "0")}` : undefined }}>
          {inside}
        </section>
      );
    }
    default:
      return null;
  }
}

function Picture({ url, alt, className }: { url: string | undefined; alt: string; className: string | undefined }) {
  if (url === undefined) return null;
  if (isOurs(url)) return <img className={className} src={url} alt={alt} loading="lazy" />;
  return (
    <a href={url} target="_blank" rel="noreferrer noopener">
      {alt === "" ? url : alt}
    </a>
  );
}

const LOOKS: Record<number, "primary" | "quiet" | "danger" | "success"> = { 1: "primary", 2: "quiet", 3: "success", 4: "danger", 5: "quiet" };
const LINK_STYLE = 5;

function useIsPending(message: Message, component: Component): boolean {
  return useInteractions((state) => Object.values(state.pending).some((item) => item.messageId === message.id && item.customId === component.custom_id));
}

function ButtonPart({ message, guildId, component }: { message: Message; guildId: Id | null; component: Component }) {
  const app = useApp();
  const isPending = useIsPending(message, component);
  const face = (
    <>
      {component.emoji !== undefined && <Emoji emoji={{ id: component.emoji.id ?? null, name: component.emoji.name }} />}
      {component.label}
    </>
  );
  if (component.style === LINK_STYLE) {
    return (
      <a className={styles.link} href={component.url} target="_blank" rel="noreferrer noopener">
        {face} ↗
      </a>
    );
  }
  return (
    <Button
      look={LOOKS[component.style ?? 2] ?? "quiet"}
      className={styles.button}
      disabled={component.disabled === true || isPending}
      aria-busy={isPending}
      data-testid="component-button"
      data-custom-id={component.custom_id}
      onClick={() => void app.interactions.press(message, guildId, component)}
    >
      {face}
    </Button>
  );
}

const MAX_LISTED = 100;

/** A menu of what the guild has: people, roles, channels. */
function EntitySelect({ message, guildId, component }: { message: Message; guildId: Id | null; component: Component }) {
  const options = useModel((model) => {
    const list: string[] = [];
    const { type } = component;
    if (type === ComponentType.userSelect || type === ComponentType.mentionableSelect) {
      for (const id of Object.keys(model.members[guildId ?? ""] ?? {})) list.push(`${id} @${displayName(model, guildId, id)}`);
    }
    if (type === ComponentType.roleSelect || type === ComponentType.mentionableSelect) {
      for (const role of model.guilds[guildId ?? ""]?.roles ?? []) if (role.id !== guildId) list.push(`${role.id} @${role.name}`);
    }
    if (type === ComponentType.channelSelect) {
      const wanted = component.channel_types ?? [];
      for (const group of channelGroups(model.channels, guildId ?? "")) {
        for (const channel of [...group.text, ...group.voice]) {
          const isWanted = wanted.length === 0 || wanted.includes(channel.type);
          if (isWanted) list.push(`${channel.id} ${channel.type === ChannelType.voice ? "" : "#"}${channel.name}`);
        }
      }
    }
    return list.slice(0, MAX_LISTED);
  });
  const listed = options.map((option) => ({ value: option.slice(0, option.indexOf(" ")), label: option.slice(option.indexOf(" ") + 1) }));
  return <Select message={message} guildId={guildId} component={component} options={listed} />;
}

function Select({ message, guildId, component, options }: { message: Message; guildId: Id | null; component: Component; options: readonly SelectOption[] }) {
  const app = useApp();
  const isPending = useIsPending(message, component);
  const most = component.max_values ?? 1;
  const [chosen, setChosen] = useState<readonly string[]>(() => options.filter((option) => option.default === true).map((option) => option.value));
  const label = component.placeholder ?? "Choose…";
  const isDisabled = component.disabled === true || isPending;
  if (most <= 1) {
    return (
      <select
        className={styles.select}
        aria-label={label}
        disabled={isDisabled}
        value={chosen[0] ?? ""}
        data-testid="component-select"
        data-custom-id={component.custom_id}
        onChange={(event) => {
          setChosen([event.target.value]);
          void app.interactions.press(message, guildId, component, [event.target.value]);
        }}
      >
        <option value="" disabled>
          {label}
        </option>
        {options.map((option) => (
          <option key={option.value} value={option.value} title={option.description}>
            {option.label}
          </option>
        ))}
      </select>
    );
  }
  const isComplete = chosen.length >= (component.min_values ?? 1) && chosen.length <= most;
  return (
    <fieldset className={styles.many} disabled={isDisabled} data-testid="component-select" data-custom-id={component.custom_id}>
      <legend>{label}</legend>
      {options.map((option) => (
        <label key={option.value} title={option.description}>
          <input
            type="checkbox"
            checked={chosen.includes(option.value)}
            onChange={(event) => setChosen(event.target.checked ? [...chosen, option.value] : chosen.filter((value) => value !== option.value))}
          />
          {option.label}
        </label>
      ))}
      <Button look="quiet" disabled={!isComplete} onClick={() => void app.interactions.press(message, guildId, component, chosen)}>
        Choose
      </Button>
    </fieldset>
  );
}
