import { type FormEvent, useState } from "react";
import { type Component, ComponentType } from "../../api/types";
import type { InteractionState } from "../../interactions";
import { useApp, useInteractions } from "../context";
import { Button } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import styles from "./ModalForm.module.css";

/** The form that a bot asks for, if one is open. */
export function ModalForm() {
  const modal = useInteractions((state) => state.modal);
  return modal === null ? null : <Form key={modal.id} modal={modal} />;
}

interface Input {
  /** The component around it, as it is sent back. */
  wrapper: number;
  label: string;
  hint: string | undefined;
  field: Component;
}

const PARAGRAPH = 2;

function Form({ modal }: { modal: NonNullable<InteractionState["modal"]> }) {
  const app = useApp();
  const inputs = modal.components.flatMap(inputsOf);
  const [values, setValues] = useState<Readonly<Record<string, readonly string[]>>>(() => Object.fromEntries(inputs.map(({ field }) => [field.custom_id ?? "", initial(field)])));
  const [isBusy, setBusy] = useState(false);
  const put = (field: Component, value: readonly string[]) => setValues({ ...values, [field.custom_id ?? ""]: value });
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    const components = inputs.map(({ wrapper, field }) => {
      const value = values[field.custom_id ?? ""] ?? [];
      const answer = { type: field.type, custom_id: field.custom_id, ...(field.type === ComponentType.textInput ? { value: value[0] ?? "" } : { values: value }) };
      return wrapper === ComponentType.label ? { type: wrapper, component: answer } : { type: wrapper, components: [answer] };
    });
    await app.interactions.submitModal(modal, components);
    setBusy(false);
  };
  return (
    <Dialog title={modal.title} onClose={() => app.interactions.closeModal()}>
      <form className={styles.form} onSubmit={(event) => void submit(event)} data-testid="modal">
        {inputs.map(({ field, label, hint }) => (
          <Entry key={field.custom_id} field={field} label={label} hint={hint} value={values[field.custom_id ?? ""] ?? []} onChange={(value) => put(field, value)} />
        ))}
        <Button type="submit" disabled={isBusy} data-testid="modal-submit">
          Submit
        </Button>
      </form>
    </Dialog>
  );
}

interface EntryProps {
  field: Component;
  label: string;
  hint: string | undefined;
  value: readonly string[];
  onChange: (value: readonly string[]) => void;
}

function Entry({ field, label, hint, value, onChange }: EntryProps) {
  const id = `modal-${field.custom_id ?? ""}`;
  const common = { id, required: field.required !== false, "data-testid": id };
  const limits = { minLength: field.min_length, maxLength: field.max_length ?? 4000, placeholder: field.placeholder };
  return (
    <div className={styles.entry}>
      <label htmlFor={id}>{label}</label>
      {hint !== undefined && <small>{hint}</small>}
      {field.type === ComponentType.stringSelect ? (
        <select
          {...common}
          multiple={(field.max_values ?? 1) > 1}
          value={(field.max_values ?? 1) > 1 ? [...value] : (value[0] ?? "")}
          onChange={(event) => onChange([...event.target.selectedOptions].map((option) => option.value))}
        >
          {(field.max_values ?? 1) <= 1 && <option value="">{field.placeholder ?? "Choose…"}</option>}
          {(field.options ?? []).map((option) => (
            <option key={option.value} value={option.value}>
              {option.label}
            </option>
          ))}
        </select>
      ) : field.style === PARAGRAPH ? (
        <textarea {...common} {...limits} rows={4} value={value[0] ?? ""} onChange={(event) => onChange([event.target.value])} />
      ) : (
        <input {...common} {...limits} value={value[0] ?? ""} onChange={(event) => onChange([event.target.value])} />
      )}
    </div>
  );
}

function initial(field: Component): readonly string[] {
  if (field.type === ComponentType.textInput) return [field.value ?? ""];
  return (field.options ?? []).filter((option) => option.default === true).map((option) => option.value);
}

/** Inputs are inside action rows, or inside labels. */
function inputsOf(component: Component): Input[] {
  if (component.type === ComponentType.label && component.component !== undefined) {
    return [{ wrapper: component.type, label: component.label ?? "", hint: component.description, field: component.component }];
  }
  if (component.type !== ComponentType.actionRow) return [];
  return (component.components ?? []).map((field) => ({ wrapper: component.type, label: field.label ?? "", hint: undefined, field }));
}
