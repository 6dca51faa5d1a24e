//! Members of equal role sets form a class: what a class may see is worked out once, not once per member.

use guildhall_protocol::RoleId;
use std::collections::HashMap;

/// An index into the classes of one guild. Reused after its last member leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClassId(u32);

impl ClassId {
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The role sets that at least one member has.
#[derive(Debug, Default)]
pub struct Classes {
    by_roles: HashMap<Box<[RoleId]>, ClassId>,
    /// The role set of each class and how many members have it; an unused class has none and is listed in `free`.
    sets: Vec<(Box<[RoleId]>, usize)>,
    free: Vec<ClassId>,
}

impl Classes {
    /// Counts one more member with these roles, in any order.
    pub fn enter(&mut self, roles: &[RoleId]) -> ClassId {
        let mut roles: Box<[RoleId]> = roles.into();
        roles.sort_unstable();
        if let Some(&class) = self.by_roles.get(&roles) {
            self.sets[class.index()].1 += 1;
            return class;
        }
        let class = self.free.pop().unwrap_or_else(|| {
            self.sets.push((Box::default(), 0));
            ClassId(u32::try_from(self.sets.len() - 1).expect("a guild has fewer than 2^32 members"))
        });
        self.sets[class.index()] = (roles.clone(), 1);
        self.by_roles.insert(roles, class);
        class
    }

    /// Counts one member less.
    pub fn leave(&mut self, class: ClassId) {
        let (roles, count) = &mut self.sets[class.index()];
        *count -= 1;
        if *count == 0 {
            self.by_roles.remove(&std::mem::take(roles));
            self.free.push(class);
        }
    }

    /// One more than the highest index in use.
    pub fn len(&self) -> usize {
        self.sets.len()
    }
}
