from shiftwork.quant.channel_groups import ChannelGroups
from shiftwork.quant.graph import MaxPool


def test_channels_are_alone_until_joined(float_network):
    net = float_network((4, 4, 3))
    y = net.conv("x", 3)
    groups = ChannelGroups(net.build())
    assert len({*groups.labels("x"), *groups.labels(y)}) == 6
    groups.join("x", y)
    assert groups.labels("x").tolist() == groups.labels(y).tolist()
    assert groups.of(["x", y]) == set(groups.labels("x").tolist())
    groups.join_all(y)
    assert len(set(groups.labels("x"))) == 1
    assert max(groups.of(["x"])) < groups.count


def test_joining_is_transitive(float_network):
    net = float_network((4, 4, 2))
    a = net.pool(MaxPool, "x")
    b = net.relu(a)
    groups = ChannelGroups(net.build()).join(a, b).join("x", a)
    assert groups.labels("x").tolist() == groups.labels(b).tolist()


def test_a_reshape_joins_the_channels_of_the_same_elements(float_network):
    net = float_network((2, 2, 3))
    flat = net.reshape("x", (1, 1, 12))
    wide = net.reshape("x", (1, 2, 6))
    odd = net.reshape("x", (3, 2, 2))
    graph = net.build()
    groups = ChannelGroups(graph).join_reshape(graph.producer(flat))
    assert groups.labels(flat).tolist() == groups.labels("x").tolist() * 4
    groups = ChannelGroups(graph).join_reshape(graph.producer(wide))
    assert groups.labels(wide).tolist() == groups.labels("x").tolist() * 2
    groups = ChannelGroups(graph).join_reshape(graph.producer(odd))
    assert len({*groups.labels("x"), *groups.labels(odd)}) == 1
