//! The settings of a key in the bodies of requests.

/// The body of a request that holds all settings of a key, each with its default when it is absent, besides fields of
/// its own. Not by `serde(flatten)`: a body must refuse fields that it does not know.
macro_rules! with_settings {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($own:tt)* }) => {
        $(#[$meta])*
        $vis struct $name {
            $($own)*
            #[serde(default)]
            streams: $crate::key::Streams,
            #[serde(default)]
            source_id: Option<$crate::key::Label>,
            #[serde(default)]
            trust_level: $crate::key::TrustLevel,
            #[serde(default)]
            decide: Option<bool>,
            #[serde(default)]
            allowed_cidrs: $crate::key::Networks,
            #[serde(default)]
            limits: $crate::key::KeyLimits,
            #[serde(default)]
            metadata: $crate::key::Metadata,
        }

        impl $name {
            /// Takes the settings out of the body.
            fn take_settings(&mut self) -> $crate::key::KeySettings {
                $crate::key::KeySettings {
                    streams: std::mem::take(&mut self.streams),
                    source_id: self.source_id.take(),
                    trust_level: std::mem::take(&mut self.trust_level),
                    decide: self.decide.take(),
                    allowed_cidrs: std::mem::take(&mut self.allowed_cidrs),
                    limits: std::mem::take(&mut self.limits),
                    metadata: std::mem::take(&mut self.metadata),
                }
            }
        }
    };
}
pub(crate) use with_settings;

/// The body of a request that changes settings of a key: one that is absent stays, `null` gives it its default, but for
/// the streams, where that would open all of them.
macro_rules! with_settings_patch {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($own:tt)* }) => {
        $(#[$meta])*
        $vis struct $name {
            $($own)*
            #[serde(default, deserialize_with = "crate::serde_text::given")]
            streams: Option<$crate::key::Streams>,
            #[serde(default, deserialize_with = "crate::serde_text::cleared")]
            source_id: Option<Option<$crate::key::Label>>,
            #[serde(default, deserialize_with = "crate::serde_text::cleared")]
            trust_level: Option<$crate::key::TrustLevel>,
            #[serde(default, deserialize_with = "crate::serde_text::cleared")]
            decide: Option<Option<bool>>,
            #[serde(default, deserialize_with = "crate::serde_text::cleared")]
            allowed_cidrs: Option<$crate::key::Networks>,
            #[serde(default, deserialize_with = "crate::serde_text::cleared")]
            limits: Option<$crate::key::KeyLimits>,
            #[serde(default, deserialize_with = "crate::serde_text::cleared")]
            metadata: Option<$crate::key::Metadata>,
        }

        impl $name {
            /// Takes the changes of settings out of the body.
            fn take_settings(&mut self) -> $crate::key::SettingsPatch {
                $crate::key::SettingsPatch {
                    streams: self.streams.take(),
                    source_id: self.source_id.take(),
                    trust_level: self.trust_level.take(),
                    decide: self.decide.take(),
                    allowed_cidrs: self.allowed_cidrs.take(),
                    limits: self.limits.take(),
                    metadata: self.metadata.take(),
                }
            }
        }
    };
}
pub(crate) use with_settings_patch;

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use crate::key::{KeySettings, Label};

    with_settings! {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Whole {
            own: u8,
        }
    }

    with_settings_patch! {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Changes {
            own: Option<u8>,
        }
    }

    /// Settings that all differ from the default, and a field of the body.
    fn all() -> serde_json::Value {
        let all = json!({
            "own": 1, "streams": ["web-*"], "sourceId": "web", "trustLevel": "low", "decide": false,
            "allowedCidrs": ["10.0.0.0/8"], "limits": {"requests": {"perMinute": 5, "burst": 5}}, "metadata": {"a": 1},
        });
        for (field, default) in json!(KeySettings::default()).as_object().unwrap() {
            assert!(all[field] != *default && !all[field].is_null(), "{field}");
        }
        all
    }

    #[test]
    fn bodies_carry_every_setting_besides_fields_of_their_own() {
        let expected: KeySettings = serde_json::from_value(all()).unwrap();
        let mut whole: Whole = serde_json::from_value(all()).unwrap();
        assert_eq!((whole.own, whole.take_settings()), (1, expected.clone()));
        let mut changes: Changes = serde_json::from_value(all()).unwrap();
        assert_eq!((changes.own, changes.take_settings()), (Some(1), expected.into()));
    }

    #[test]
    fn what_is_absent_is_the_default_and_in_a_patch_stays() {
        let mut whole: Whole = serde_json::from_value(json!({"own": 1})).unwrap();
        assert_eq!(whole.take_settings(), KeySettings::default());
        let mut changes: Changes = serde_json::from_value(json!({})).unwrap();
        let mut settings = KeySettings { source_id: Label::parse("web").ok(), ..KeySettings::default() };
        changes.take_settings().apply(&mut settings);
        assert_eq!(settings.source_id, Label::parse("web").ok());
    }

    #[test]
    fn null_clears_every_setting_but_the_streams() {
        let read = |value| serde_json::from_value::<Changes>(value);
        for (field, default) in json!(KeySettings::default()).as_object().unwrap() {
            let Ok(mut changes) = read(json!({field: null})) else {
                assert_eq!(field, "streams");
                continue;
            };
            let mut settings: KeySettings = serde_json::from_value(all()).unwrap();
            changes.take_settings().apply(&mut settings);
            assert_eq!(json!(settings)[field], *default, "{field}");
        }
        assert!(read(json!({"streams": null})).is_err());
        assert!(serde_json::from_value::<Whole>(json!({"own": 1, "allowedCidrs": null})).is_err());
    }

    #[test]
    fn a_body_refuses_what_it_does_not_know_and_a_field_that_comes_twice() {
        assert!(serde_json::from_str::<Whole>(r#"{"own": 1, "state": "active"}"#).is_err());
        assert!(serde_json::from_str::<Whole>(r#"{"own": 1, "limits": {}, "limits": {}}"#).is_err());
    }
}
