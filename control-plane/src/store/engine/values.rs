//! Values on their way to and from either engine: integers, texts, bytes, and lists of them for PostgreSQL.

use super::Db;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgValue, PgValueRef, Postgres};
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteValue, SqliteValueRef};
use sqlx::{Arguments as _, Decode, Encode, Type, TypeInfo, ValueRef as _};
use std::borrow::Cow;
use std::fmt;

/// What a value is. PostgreSQL wants to know it of a NULL, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Integer,
    Text,
    Bytes,
    Integers,
    Texts,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl TypeInfo for Kind {
    fn is_null(&self) -> bool {
        false
    }

    fn name(&self) -> &str {
        match self {
            Self::Integer => "integer",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Integers => "integers",
            Self::Texts => "texts",
        }
    }
}

/// A value that is bound to a query.
#[derive(Clone, Debug)]
pub enum Value {
    Null(Kind),
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
    Integers(Vec<i64>),
    Texts(Vec<String>),
}

#[derive(Clone, Debug, Default)]
pub struct Arguments(Vec<Value>);

impl sqlx::Arguments for Arguments {
    type Database = Db;

    fn reserve(&mut self, additional: usize, _size: usize) {
        self.0.reserve(additional);
    }

    fn add<'t, T: Encode<'t, Db> + Type<Db>>(&mut self, value: T) -> Result<(), BoxDynError> {
        if let IsNull::Yes = value.encode(&mut self.0)? {
            self.0.push(Value::Null(T::type_info()));
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl sqlx::IntoArguments<Db> for Arguments {
    fn into_arguments(self) -> Self {
        self
    }
}

impl Arguments {
    pub fn for_sqlite(self) -> Result<SqliteArguments, BoxDynError> {
        let mut arguments = SqliteArguments::default();
        for value in self.0 {
            match value {
                Value::Null(_) => arguments.add(None::<i64>),
                Value::Integer(value) => arguments.add(value),
                Value::Text(value) => arguments.add(value),
                Value::Bytes(value) => arguments.add(value),
                Value::Integers(_) | Value::Texts(_) => Err("SQLite has no lists".into()),
            }?;
        }
        Ok(arguments)
    }

    pub fn for_postgres(self) -> Result<PgArguments, BoxDynError> {
        let mut arguments = PgArguments::default();
        for value in self.0 {
            match value {
                Value::Null(Kind::Integer) => arguments.add(None::<i64>),
                Value::Null(Kind::Text) => arguments.add(None::<String>),
                Value::Null(Kind::Bytes) => arguments.add(None::<Vec<u8>>),
                Value::Null(Kind::Integers) => arguments.add(None::<Vec<i64>>),
                Value::Null(Kind::Texts) => arguments.add(None::<Vec<String>>),
                Value::Integer(value) => arguments.add(value),
                Value::Text(value) => arguments.add(storable(value)),
                Value::Bytes(value) => arguments.add(value),
                Value::Integers(value) => arguments.add(value),
                Value::Texts(value) => arguments.add(value),
            }?;
        }
        Ok(arguments)
    }
}

/// PostgreSQL's texts cannot have the character 0; it becomes the one that stands for what cannot be shown.
fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// A value of a row.
pub enum ValueRef<'r> {
    Sqlite(SqliteValueRef<'r>),
    Postgres(PgValueRef<'r>),
}

impl<'r> sqlx::ValueRef<'r> for ValueRef<'r> {
    type Database = Db;

    fn to_owned(&self) -> Held {
        match self {
            Self::Sqlite(value) => Held::Sqlite(sqlx::ValueRef::to_owned(value)),
            Self::Postgres(value) => Held::Postgres(sqlx::ValueRef::to_owned(value)),
        }
    }

    /// Not the value's but what every reader takes it for: whether that is right is found out by reading it.
    fn type_info(&self) -> Cow<'_, Kind> {
        Cow::Owned(Kind::Integer)
    }

    fn is_null(&self) -> bool {
        match self {
            Self::Sqlite(value) => value.is_null(),
            Self::Postgres(value) => value.is_null(),
        }
    }
}

/// A value that outlives its row.
#[derive(Clone)]
pub enum Held {
    Sqlite(SqliteValue),
    Postgres(PgValue),
}

impl sqlx::Value for Held {
    type Database = Db;

    fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Sqlite(value) => ValueRef::Sqlite(value.as_ref()),
            Self::Postgres(value) => ValueRef::Postgres(value.as_ref()),
        }
    }

    fn type_info(&self) -> Cow<'_, Kind> {
        Cow::Owned(Kind::Integer)
    }

    fn is_null(&self) -> bool {
        match self {
            Self::Sqlite(value) => value.is_null(),
            Self::Postgres(value) => value.is_null(),
        }
    }
}

/// An integer of any width, or a condition that PostgreSQL worked out (`EXISTS (…)`).
fn integer(value: ValueRef<'_>) -> Result<i64, BoxDynError> {
    match value {
        ValueRef::Sqlite(value) => <i64 as Decode<Sqlite>>::decode(value),
        ValueRef::Postgres(value) => {
            let is_condition = *value.type_info() == <bool as Type<Postgres>>::type_info();
            if is_condition {
                Ok(<bool as Decode<Postgres>>::decode(value)?.into())
            } else {
                <i64 as Decode<Postgres>>::decode(value)
            }
        }
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Type<Db> for $type {
            fn type_info() -> Kind {
                Kind::Integer
            }

            fn compatible(_: &Kind) -> bool {
                true
            }
        }

        impl Encode<'_, Db> for $type {
            fn encode_by_ref(&self, values: &mut Vec<Value>) -> Result<IsNull, BoxDynError> {
                values.push(Value::Integer(i64::from(*self)));
                Ok(IsNull::No)
            }
        }

        impl<'r> Decode<'r, Db> for $type {
            fn decode(value: ValueRef<'r>) -> Result<Self, BoxDynError> {
                Ok(<$type>::try_from(integer(value)?)?)
            }
        }
    )*};
}

integers!(u8, u16, u32, i32, i64);

impl Type<Db> for bool {
    fn type_info() -> Kind {
        Kind::Integer
    }

    fn compatible(_: &Kind) -> bool {
        true
    }
}

impl Encode<'_, Db> for bool {
    fn encode_by_ref(&self, values: &mut Vec<Value>) -> Result<IsNull, BoxDynError> {
        values.push(Value::Integer(i64::from(*self)));
        Ok(IsNull::No)
    }
}

impl<'r> Decode<'r, Db> for bool {
    fn decode(value: ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(integer(value)? != 0)
    }
}

macro_rules! copied {
    ($($type:ty: $variant:ident;)*) => {$(
        impl Encode<'_, Db> for $type {
            fn encode_by_ref(&self, values: &mut Vec<Value>) -> Result<IsNull, BoxDynError> {
                values.push(Value::$variant((*self).to_owned()));
                Ok(IsNull::No)
            }
        }
    )*};
}

copied! {
    &'_ str: Text;
    &'_ [u8]: Bytes;
}

macro_rules! moved {
    ($($type:ty: $variant:ident;)*) => {$(
        impl Encode<'_, Db> for $type {
            fn encode(self, values: &mut Vec<Value>) -> Result<IsNull, BoxDynError> {
                values.push(Value::$variant(self));
                Ok(IsNull::No)
            }

            fn encode_by_ref(&self, values: &mut Vec<Value>) -> Result<IsNull, BoxDynError> {
                values.push(Value::$variant(self.clone()));
                Ok(IsNull::No)
            }
        }
    )*};
}

moved! {
    String: Text;
    Vec<u8>: Bytes;
    Vec<i64>: Integers;
    Vec<String>: Texts;
}

macro_rules! kinds {
    ($($type:ty: $kind:ident;)*) => {$(
        impl Type<Db> for $type {
            fn type_info() -> Kind {
                Kind::$kind
            }

            fn compatible(_: &Kind) -> bool {
                true
            }
        }
    )*};
}

kinds! {
    str: Text;
    String: Text;
    [u8]: Bytes;
    Vec<u8>: Bytes;
    Vec<i64>: Integers;
    Vec<String>: Texts;
}

macro_rules! read {
    ($($type:ty),*) => {$(
        impl<'r> Decode<'r, Db> for $type {
            fn decode(value: ValueRef<'r>) -> Result<Self, BoxDynError> {
                match value {
                    ValueRef::Sqlite(value) => <$type as Decode<'r, Sqlite>>::decode(value),
                    ValueRef::Postgres(value) => <$type as Decode<'r, Postgres>>::decode(value),
                }
            }
        }
    )*};
}

read!(&'r str, String, &'r [u8], Vec<u8>);

impl<'q, T: Encode<'q, Db> + Type<Db> + 'q> Encode<'q, Db> for Option<T> {
    fn encode(self, values: &mut Vec<Value>) -> Result<IsNull, BoxDynError> {
        self.map_or(Ok(IsNull::Yes), |value| value.encode(values))
    }

    fn encode_by_ref(&self, values: &mut Vec<Value>) -> Result<IsNull, BoxDynError> {
        self.as_ref().map_or(Ok(IsNull::Yes), |value| value.encode_by_ref(values))
    }
}
