//! Application commands. A scope is an application's global commands, or its commands in one guild.

use super::engine::{Connection, Row};
use super::{Conflict, Result, Store, Tx};
use guildhall_protocol::model::{Application, Command, CommandKind};
use guildhall_protocol::{ApplicationId, CommandId, GuildId};
use sqlx::Row as _;

/// Commands of each kind that a scope may hold, as documented.
pub const fn most_commands(kind: CommandKind) -> usize {
    match kind {
        CommandKind::ChatInput => 100,
        CommandKind::User | CommandKind::Message => 15,
    }
}

/// Whose commands, and where they can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    pub application_id: ApplicationId,
    /// `None`: global.
    pub guild_id: Option<GuildId>,
}

impl Scope {
    fn guild(&self) -> i64 {
        self.guild_id.map_or(0, GuildId::to_sql)
    }
}

/// What the members of a guild may choose from.
pub struct CommandIndex {
    pub applications: Vec<Application>,
    pub commands: Vec<Command>,
}

fn command_of(row: &Row) -> Result<Command> {
    Ok(serde_json::from_str(row.try_get("definition")?)?)
}

async fn all(connection: &mut Connection, scope: Scope) -> Result<Vec<Command>> {
    let rows =
        sqlx::query("SELECT definition FROM commands WHERE application_id = $1 AND coalesce(guild_id, 0) = $2 ORDER BY id")
            .bind(scope.application_id.to_sql())
            .bind(scope.guild())
            .fetch_all(connection)
            .await?;
    rows.iter().map(command_of).collect()
}

async fn put(tx: &mut Tx<'_>, command: &Command) -> Result<()> {
    sqlx::query(
        "INSERT INTO commands (id, application_id, guild_id, kind, name, definition) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, definition = excluded.definition",
    )
    .bind(command.id.to_sql())
    .bind(command.application_id.to_sql())
    .bind(command.guild_id.map(GuildId::to_sql))
    .bind(command.kind.number())
    .bind(&command.name)
    .bind(serde_json::to_string(command)?)
    .execute(tx.sql())
    .await?;
    Ok(())
}

async fn remove(tx: &mut Tx<'_>, id: CommandId) -> Result<()> {
    sqlx::query("DELETE FROM commands WHERE id = $1").bind(id.to_sql()).execute(tx.sql()).await?;
    Ok(())
}

fn is_same(one: &Command, other: &Command) -> bool {
    one.kind == other.kind && one.name == other.name
}

/// Gives a command its id and version: those of the one that it replaces, if that says the same.
fn settle(tx: &Tx<'_>, command: &mut Command, before: Option<&Command>) {
    match before {
        Some(before) => {
            (command.id, command.version) = (before.id, before.version);
            if command != before {
                command.version = tx.make_id();
            }
        }
        None => {
            command.id = tx.make_id();
            command.version = tx.make_id();
        }
    }
}

impl Store {
    /// The scope's commands, oldest first.
    pub async fn commands(&self, scope: Scope) -> Result<Vec<Command>> {
        let mut connection = self.readers().acquire().await?;
        all(&mut connection, scope).await
    }

    pub async fn find_command(&self, id: CommandId) -> Result<Option<Command>> {
        let row =
            sqlx::query("SELECT definition FROM commands WHERE id = $1").bind(id.to_sql()).fetch_optional(self.readers()).await?;
        row.as_ref().map(command_of).transpose()
    }

    /// Stores a command in place of the scope's one of the same kind and name. `true`: there was none.
    pub async fn put_command(&self, mut command: Command) -> Result<(Command, bool)> {
        self.write(move |tx| {
            Box::pin(async move {
                let scope = Scope { application_id: command.application_id, guild_id: command.guild_id };
                let known = all(tx.sql(), scope).await?;
                let before = known.iter().find(|known| is_same(known, &command));
                let is_new = before.is_none();
                if is_new && known.iter().filter(|known| known.kind == command.kind).count() >= most_commands(command.kind) {
                    return Err(Conflict::Full.into());
                }
                settle(tx, &mut command, before);
                put(tx, &command).await?;
                Ok((command, is_new))
            })
        })
        .await
    }

    /// Stores the changed form of a command, which keeps its id.
    pub async fn change_command(&self, mut command: Command) -> Result<Command> {
        self.write(move |tx| {
            Box::pin(async move {
                let scope = Scope { application_id: command.application_id, guild_id: command.guild_id };
                let known = all(tx.sql(), scope).await?;
                let before = known.iter().find(|known| known.id == command.id).ok_or(Conflict::Missing)?;
                if known.iter().any(|known| known.id != command.id && is_same(known, &command)) {
                    return Err(Conflict::NameTaken.into());
                }
                settle(tx, &mut command, Some(before));
                put(tx, &command).await?;
                Ok(command)
            })
        })
        .await
    }

    /// Makes these the scope's only commands. One that names the id of a known command renames it; else kind and name tell
    /// which known command it replaces.
    pub async fn replace_commands(&self, scope: Scope, mut commands: Vec<Command>) -> Result<Vec<Command>> {
        self.write(move |tx| {
            Box::pin(async move {
                let known = all(tx.sql(), scope).await?;
                let named = |command: &Command| known.iter().find(|known| known.id == command.id && known.kind == command.kind);
                let by_name = |command: &Command| known.iter().find(|known| is_same(known, command));
                let before: Vec<Option<&Command>> =
                    commands.iter().map(|command| named(command).or_else(|| by_name(command))).collect();
                // Two may not continue the same one.
                let mut continued: Vec<CommandId> = Vec::with_capacity(commands.len());
                for (command, before) in commands.iter_mut().zip(before) {
                    let before = before.filter(|before| !continued.contains(&before.id));
                    settle(tx, command, before);
                    continued.push(command.id);
                }
                // All rows go first, so that commands may swap names.
                for known in &known {
                    remove(tx, known.id).await?;
                }
                for command in &commands {
                    put(tx, command).await?;
                }
                Ok(commands)
            })
        })
        .await
    }

    pub async fn delete_command(&self, id: CommandId) -> Result<()> {
        self.write(move |tx| Box::pin(async move { remove(tx, id).await })).await
    }

    /// Every command that can be used in the guild, with the applications that offer them.
    pub async fn command_index(&self, guild: GuildId) -> Result<CommandIndex> {
        let mut connection = self.snapshot().await?;
        let rows = sqlx::query(
            "SELECT c.definition FROM commands c JOIN applications a ON a.id = c.application_id \
             JOIN members m ON m.guild_id = $1 AND m.user_id = a.bot_id WHERE c.guild_id IS NULL OR c.guild_id = $1 ORDER BY c.id",
        )
        .bind(guild.to_sql())
        .fetch_all(&mut *connection)
        .await?;
        let commands: Vec<Command> = rows.iter().map(command_of).collect::<Result<_>>()?;
        let mut ids: Vec<ApplicationId> = commands.iter().map(|command| command.application_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut applications = Vec::with_capacity(ids.len());
        for id in ids {
            applications.extend(super::applications::find(&mut connection, id).await?);
        }
        Ok(CommandIndex { applications, commands })
    }
}
