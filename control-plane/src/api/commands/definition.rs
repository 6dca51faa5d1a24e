//! What a bot says of a command, checked as documented.

use super::options;
use crate::api::form::{Form, Patch};
use guildhall_protocol::Permissions;
use guildhall_protocol::model::{Command, CommandKind};
use serde_json::{Map, Value};

/// Characters of names, descriptions and choice values in one command, its options included.
const CHARACTERS: usize = 8000;
const DESCRIPTION: usize = 100;
/// The locales that texts may be given in.
const LOCALES: &[&str] = &[
    "ar", "bg", "cs", "da", "de", "el", "en-GB", "en-US", "es-419", "es-ES", "fi", "fr", "he", "hi", "hr", "hu", "id", "it",
    "ja", "ko", "lt", "nl", "no", "pl", "pt-BR", "ro", "ru", "sv-SE", "th", "tr", "uk", "vi", "zh-CN", "zh-TW",
];
const CONTEXTS: &[u8] = &[0, 1, 2];
const INTEGRATION_TYPES: &[u8] = &[0, 1];

/// A command without its ids.
#[derive(Clone)]
pub struct Definition {
    kind: CommandKind,
    name: String,
    name_localizations: Option<Map<String, Value>>,
    description: String,
    description_localizations: Option<Map<String, Value>>,
    options: Vec<Value>,
    default_member_permissions: Option<Permissions>,
    dm_permission: Option<bool>,
    contexts: Option<Vec<u8>>,
    integration_types: Option<Vec<u8>>,
    nsfw: bool,
}

impl Definition {
    /// `kind`: that of the command which is changed; a new one says it itself.
    pub fn read(form: &Form, kind: Option<CommandKind>) -> Self {
        let numbers = CommandKind::ALL.map(|kind| i64::from(kind.number()));
        let kind = kind.or_else(|| CommandKind::from_number(form.choice("type", &numbers).value()?));
        let kind = kind.unwrap_or(CommandKind::ChatInput);
        let is_typed = kind == CommandKind::ChatInput;
        let check = |name: &str| !is_typed || is_typed_name(name);
        let name = read_name(form, check);
        let mut definition = Self {
            kind,
            name,
            name_localizations: read_localizations(form, "name_localizations", options::NAME, check),
            description: String::new(),
            description_localizations: None,
            options: Vec::new(),
            // Undocumented bits are dropped, and a set that is null asks for nothing.
            default_member_permissions: form.permissions("default_member_permissions").value(),
            dm_permission: form.flag("dm_permission").value(),
            contexts: read_numbers(form, "contexts", CONTEXTS),
            integration_types: read_numbers(form, "integration_types", INTEGRATION_TYPES),
            nsfw: form.flag("nsfw").value().unwrap_or(false),
        };
        if is_typed {
            definition.description = form.required("description", form.text("description", 1..=DESCRIPTION));
            definition.description_localizations = read_localizations(form, "description_localizations", DESCRIPTION, |_| true);
            definition.options = options::read(form);
        } else {
            for field in ["description", "options"] {
                if form.has_content(field) && form.raw(field) != Some(&Value::from("")) {
                    let message = format!("Context menu commands cannot have {field}");
                    form.refuse(field, "APPLICATION_COMMAND_CONTEXT_MENU_FIELD", &message);
                }
            }
        }
        let characters = definition.characters();
        if characters > CHARACTERS {
            form.refuse_whole("APPLICATION_COMMAND_TOO_LARGE", &format!("Command exceeds maximum size ({CHARACTERS})"));
        }
        definition
    }

    fn characters(&self) -> usize {
        longest(&self.name, self.name_localizations.as_ref())
            + longest(&self.description, self.description_localizations.as_ref())
            + options::characters(&self.options)
    }

    pub fn kind(&self) -> CommandKind {
        self.kind
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes it over a command, which keeps its ids and its guild.
    pub fn apply(self, command: &mut Command) {
        let is_global = command.guild_id.is_none();
        // The list says it better, and where it is given it is what counts.
        let in_private = self.contexts.as_ref().map(|contexts| contexts.contains(&1));
        command.kind = self.kind;
        command.name = self.name;
        command.name_localizations = self.name_localizations;
        command.description = self.description;
        command.description_localizations = self.description_localizations;
        command.options = self.options;
        command.default_member_permissions = self.default_member_permissions;
        command.dm_permission = is_global.then(|| in_private.or(self.dm_permission).unwrap_or(true));
        command.contexts = self.contexts.filter(|_| is_global);
        command.integration_types = self.integration_types.filter(|_| is_global).unwrap_or_else(|| vec![0]);
        command.nsfw = self.nsfw;
    }
}

/// The name that is typed: lower case letters, digits, `-`, `_` and `'`.
pub fn is_typed_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphanumeric() || ['-', '_', '\''].contains(&letter);
    name.chars().all(is_letter) && name.to_lowercase() == name
}

pub fn read_name(form: &Form, is_valid: impl Fn(&str) -> bool) -> String {
    let name = form.required("name", form.text("name", 1..=options::NAME));
    if !is_valid(&name) {
        form.refuse("name", "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid");
    }
    name
}

/// Texts by locale; a `null` among them says that there is none.
pub fn read_localizations(form: &Form, key: &str, most: usize, is_valid: impl Fn(&str) -> bool) -> Option<Map<String, Value>> {
    let locales: Vec<String> = form.raw(key)?.as_object().map(|texts| texts.keys().cloned().collect()).unwrap_or_default();
    let texts = form.object(key, |texts| {
        let mut read = Map::new();
        for locale in locales.iter().take(2 * LOCALES.len()) {
            if !LOCALES.contains(&locale.as_str()) {
                let message = format!("Value must be one of {{{}}}.", LOCALES.join(", "));
                texts.refuse(locale, "BASE_TYPE_CHOICES", &message);
            } else if let Patch::Set(text) = texts.text(locale, 1..=most) {
                if !is_valid(&text) {
                    texts.refuse(locale, "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid");
                }
                read.insert(locale.clone(), text.into());
            }
        }
        read
    });
    texts.value()
}

/// A list of distinct numbers out of a few; `None` if it is not given.
fn read_numbers(form: &Form, key: &str, choices: &[u8]) -> Option<Vec<u8>> {
    let list = form.raw(key).filter(|value| !value.is_null())?;
    let numbers = list.as_array().and_then(|list| {
        let number =
            |value: &Value| value.as_u64().and_then(|number| choices.iter().copied().find(|known| u64::from(*known) == number));
        list.iter().map(number).collect::<Option<Vec<u8>>>()
    });
    match numbers {
        Some(mut numbers) if !numbers.is_empty() => {
            numbers.sort_unstable();
            numbers.dedup();
            Some(numbers)
        }
        _ => {
            let list = choices.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
            form.refuse(key, "BASE_TYPE_CHOICES", &format!("Must be a list of values out of {{{list}}}."));
            None
        }
    }
}

/// Characters of a text, or of the longest translation of it.
pub fn longest(text: &str, localizations: Option<&Map<String, Value>>) -> usize {
    let translations = localizations.into_iter().flat_map(Map::values).filter_map(Value::as_str);
    translations.chain([text]).map(|text| text.chars().count()).max().unwrap_or(0)
}
