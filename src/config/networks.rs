//! Networks in CIDR form.

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};

/// For `#[serde(deserialize_with)]`. A network whose host part is not zero is refused: whoever wrote
/// `10.1.2.3/8` meant either one address or the whole network.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<IpNet>, D::Error> {
    Vec::<String>::deserialize(input)?
        .iter()
        .map(|text| {
            let network: IpNet = text.parse().map_err(|_| {
                de::Error::custom(format!("`{text}` is not a network such as \"10.1.0.0/16\""))
            })?;
            if network.addr() == network.network() {
                Ok(network)
            } else {
                let meant = network.trunc();
                Err(de::Error::custom(format!(
                    "`{text}` has bits outside of its mask; the network is `{meant}`"
                )))
            }
        })
        .collect()
}
