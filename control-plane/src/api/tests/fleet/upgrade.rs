//! A fleet is upgraded one control plane after another, so the version before works on the tables as the next one has them.
//!
//! A migration therefore only adds: tables, columns that may be left out, indexes that refuse nothing. What nobody uses any more goes
//! with the release after the one that stopped using it.

use super::super::{Session, World, text};
use serde_json::json;
use std::path::Path;

/// What a migration of this release or a later one changes that statements of the version before would trip over, one per line.
/// Tables and indexes that it makes itself are its own.
fn contractions(migration: &str) -> Vec<String> {
    let lines = migration.lines().map(|line| line.split("--").next().unwrap_or_default());
    let statements = lines.collect::<Vec<_>>().join(" ").to_uppercase();
    let statements: Vec<Vec<&str>> = statements.split(';').map(|it| it.split_whitespace().collect()).collect();
    let made: Vec<&str> =
        statements.iter().filter(|words| words.starts_with(&["CREATE", "TABLE"])).map(|words| words[2]).collect();
    let is_fine = |words: &Vec<&str>| match words.as_slice() {
        [] | ["CREATE", "TABLE" | "INDEX", ..] | ["INSERT", "INTO", ..] => true,
        ["CREATE", "VIEW", ..] => true,
        ["CREATE", "UNIQUE", "INDEX", _, "ON", table, ..] => made.contains(table),
        ["ALTER", "TABLE", _, "ADD", "COLUMN", rest @ ..] => {
            let has = |word| rest.contains(&word);
            (!has("NOT") || has("DEFAULT")) && !has("UNIQUE") && !rest.iter().any(|word| word.starts_with("CHECK"))
        }
        _ => false,
    };
    statements.iter().filter(|words| !is_fine(words)).map(|words| words.join(" ")).collect()
}

#[test]
fn what_a_migration_takes_away_is_noticed() {
    let fine = "-- DROP TABLE x;\nCREATE TABLE a (id BIGINT NOT NULL);\nCREATE UNIQUE INDEX a_by_id ON a (id);\n\
                ALTER TABLE b ADD COLUMN c TEXT NOT NULL DEFAULT ''; ALTER TABLE b ADD COLUMN d BIGINT;\
                CREATE VIEW e AS SELECT c FROM b";
    assert_eq!(contractions(fine), Vec::<String>::new());
    for bad in [
        "DROP TABLE a",
        "ALTER TABLE a DROP COLUMN b",
        "ALTER TABLE a RENAME COLUMN b TO c",
        "alter table a alter column b set not null",
        "ALTER TABLE a ADD COLUMN b TEXT NOT NULL",
        "ALTER TABLE a ADD COLUMN b TEXT UNIQUE",
        "CREATE UNIQUE INDEX a_by_b ON a (b)",
        "DELETE FROM a",
    ] {
        assert_eq!(contractions(bad), [bad.to_uppercase()]);
    }
}

#[test]
fn migrations_of_a_database_that_control_planes_share_only_add_to_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 1 && files[0].ends_with("0015_first.sql"), "{files:?}");
    for file in &files[1..] {
        let found = contractions(&std::fs::read_to_string(file).unwrap());
        assert!(found.is_empty(), "{} takes away what the version before uses: {found:?}", file.display());
    }
}

/// A bit of everything that people do.
async fn live(world: &World, who: &Session, name: &str) {
    let message = text(&world.say(who, name).await["id"]);
    let path = format!("{}/{message}", world.messages_path());
    world.patch(who, &path, json!({ "content": format!("{name}, they said") })).await.ok();
    world.put(who, &format!("{path}/reactions/%F0%9F%91%8D/@me"), json!({})).await.no_content();
    world.put(&world.owner, &format!("/channels/{}/pins/{message}", world.text), json!({})).await.no_content();
    world.post(&world.owner, &format!("{path}/threads"), json!({ "name": name })).await.ok();
    let channel = world.post(&world.owner, &format!("/guilds/{}/channels", world.guild), json!({ "name": name })).await.ok();
    world.patch(&world.owner, &format!("/channels/{}", text(&channel["id"])), json!({ "topic": name })).await.ok();
    world.role(name, 0).await;
    world.patch(&world.owner, &format!("/guilds/{}/members/{}", world.guild, who.id), json!({ "nick": name })).await.ok();
    world.get(who, &format!("/channels/{}/messages/search?content={name}", world.text)).await.ok();
    world.listen(who, None).await;
    assert!(world.said().await.contains(&format!("{name}, they said")));
}

#[tokio::test]
async fn a_control_plane_works_on_while_a_later_version_adds_to_its_tables_and_starts_on_them() {
    let a = World::on_postgres(None).await;
    let ann = a.member("ann").await;
    live(&a, &ann, "before").await;
    a.place
        .run(
            "DO $$ DECLARE each TEXT; BEGIN \
               FOR each IN SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition \
                 AND relnamespace = 'public'::regnamespace AND relname <> '_sqlx_migrations' \
               LOOP EXECUTE format('ALTER TABLE %I ADD COLUMN from_the_future TEXT', each); END LOOP; END $$",
        )
        .await;
    a.place
        .run(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9999, 'from the future', TRUE, '', 0)",
        )
        .await;
    live(&a, &ann, "after").await;
    let bob = a.member("bob").await;
    let b = a.beside().await;
    live(&b, &bob, "later").await;
}
