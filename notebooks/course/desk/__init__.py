"""The help desk: an invented world, its gold reward, the making of its data, its experiments."""
