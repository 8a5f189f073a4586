"""Where exchanges happen: storage engines that brokers and result stores share."""
