import type { ButtonHTMLAttributes } from "react";
import styles from "./Button.module.css";

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: "primary" | "quiet" | "success" | "danger";
}

export function Button({ look = "primary", type = "button", className, ...rest }: Props) {
  return <button {...rest} type={type} className={[styles.button, className].join(" ")} data-look={look} />;
}

interface IconProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  /** Read aloud and shown on hover. */
  label: string;
  isOn?: boolean;
}

/** A square button with only an icon; `isOn` makes it a toggle. */
export function IconButton({ label, isOn, className, ...rest }: IconProps) {
  return <button {...rest} type="button" aria-label={label} title={label} aria-pressed={isOn} className={[styles.icon, className].join(" ")} />;
}
