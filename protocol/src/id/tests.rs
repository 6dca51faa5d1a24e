//! Ids on the wire: strings out, strings or numbers in, no bit lost.

use super::*;
use proptest::prelude::*;
use serde_json::json;

#[test]
fn an_id_knows_when_it_was_made() {
    // The example of the public documentation: 175928847299117063 was made on 2016-04-30 at 11:18:25.796 UTC.
    assert_eq!(Snowflake(175_928_847_299_117_063).unix_ms(), 1_462_015_105_796);
    assert_eq!(Snowflake(0).unix_ms(), EPOCH_MS);
    assert_eq!(Snowflake::at(EPOCH_MS), Snowflake(0));
    assert_eq!(Snowflake::at(0), Snowflake(0), "a moment before the epoch has no smaller id");
}

#[test]
fn an_id_that_javascript_would_round_survives() {
    for raw in [(1 << 53) + 1, i64::MAX as u64, u64::MAX] {
        assert_eq!(serde_json::to_string(&UserId::new(raw)).unwrap(), format!("\"{raw}\""));
        assert_eq!(serde_json::from_value::<UserId>(json!(raw)).unwrap().get(), raw);
    }
}

#[test]
fn what_is_not_a_decimal_number_of_64_bits_is_no_id() {
    for text in ["\"\"", "\"abc\"", "\"-1\"", "-1", "\" 1\"", "\"1.0\"", "1.5", "\"18446744073709551616\"", "null", "true", "{}"]
    {
        assert!(serde_json::from_str::<GuildId>(text).is_err(), "{text}");
    }
    for text in ["", "abc", "-1", "1 ", "@me"] {
        assert!(text.parse::<ChannelId>().is_err(), "{text:?}");
    }
}

#[test]
fn the_everyone_role_has_its_guilds_id() {
    assert_eq!(GuildId::new(42).everyone(), RoleId::new(42));
}

proptest! {
    #[test]
    fn an_id_survives_every_form_it_is_written_in(raw in any::<u64>()) {
        let id = MessageId::new(raw);
        let text = serde_json::to_string(&id).unwrap();
        prop_assert_eq!(&text, &format!("\"{raw}\""));
        prop_assert_eq!(serde_json::from_str::<MessageId>(&text).unwrap(), id);
        prop_assert_eq!(serde_json::from_str::<MessageId>(&raw.to_string()).unwrap(), id);
        prop_assert_eq!(serde_json::from_value::<MessageId>(json!(raw)).unwrap(), id);
        prop_assert_eq!(id.to_string().parse::<MessageId>().unwrap(), id);
        prop_assert_eq!(format!("{id:?}"), raw.to_string());
        prop_assert_eq!(MessageId::from_sql(id.to_sql()), id);
        prop_assert_eq!(MessageId::from(Snowflake::from(id)), id);
    }

    /// The database compares signed numbers: ids of this century keep their order there.
    #[test]
    fn the_order_of_ids_is_the_order_of_time_in_memory_and_in_the_database(
        a in EPOCH_MS..EPOCH_MS + (1 << 41), b in EPOCH_MS..EPOCH_MS + (1 << 41), low in 0u64..1 << 22,
    ) {
        let (first, second) = (MessageId(Snowflake::at(a)), MessageId(Snowflake::at(b)));
        prop_assert_eq!(first.cmp(&second), a.cmp(&b));
        prop_assert_eq!(first.to_sql().cmp(&second.to_sql()), a.cmp(&b));
        let made_then = Snowflake(Snowflake::at(a).0 | low);
        prop_assert_eq!(made_then.unix_ms(), a);
        prop_assert!(Snowflake::at(a) <= made_then && made_then < Snowflake::at(a + 1));
    }
}
