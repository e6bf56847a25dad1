package Chatmaid::Test::Redis;

# Redis for tests: real servers, a scripted one, and an nginx whose /probe
# sends commands (t/redis-probe says how).
#
#   my $redis = redis_server(args => ['--requirepass', 'secret']);
#   probe($redis->url . ' timeout=1s');
#   my ($set, $get) = ask(['SET', 'k', 'v'], ['GET', 'k']);
#   is($get->{reply}, 'v', 'as it was set');

use Mojo::Base 'Chatmaid::Test::Process', -signatures;
use Carp qw(croak);
use Chatmaid::Test ();
use Chatmaid::Test::World qw(memory_dir test_port wait_for slurp spurt certificates);
use Digest::SHA qw(sha256_hex);
use Exporter ();
use IO::Socket::IP;
use IO::Socket::UNIX;

our @EXPORT = qw(redis_server redis_cluster redis_cluster_replica redis_slot_move redis_slot_keys redis_sentinel redis_replica_of redis_fake
    record_of tagged_record_of record_text note_of given_back probe ask up);

has [qw(port socket bus)];
has host => '127.0.0.1';

sub import ($class, @names) {
    Mojo::Base->import(-strict, -signatures);
    Exporter::export_to_level('Chatmaid::Test', 1, 'Chatmaid::Test', @Chatmaid::Test::EXPORT);
    no strict 'refs';
    my $caller = caller;
    *{"${caller}::$_"} = \&{"${class}::$_"} for @EXPORT;
}


# --- A real server -----------------------------------------------------------

# args: more options.  tls: the kind of its certificate.  host, port: where, if not
# at a free port of 127.0.0.1.

sub redis_server (%option) {
    state $serial = 0;
    my $name   = 'redis' . ($serial++ || '');
    my $port   = $option{port} // test_port($name);
    my $host   = $option{host} // '127.0.0.1';
    my $dir    = memory_dir() . "/$name";
    mkdir $dir, 0700;

    my @port = ('--port', $port);
    @port = ('--port', 0, '--tls-port', $port, '--tls-auth-clients', 'no',
        '--tls-cert-file', certificates->crt($option{tls}),
        '--tls-key-file', certificates->key($option{tls}), '--tls-ca-cert-file', certificates->crt('ca'),
        '--tls-replication', 'yes') if $option{tls};

    my $self = Chatmaid::Test::Redis->new(
        name => $name, host => $host, port => $port, socket => "$dir/redis.sock", env => slow_fsync(),
        command => ['redis-server', @port, '--bind', $host,
            '--unixsocket', "$dir/redis.sock", '--dir', $dir, '--save', '',
            version() < 7 ? () : ('--enable-debug-command', 'local'), @{$option{args} // []}]);
    return $self->start;
}

# A Sentinel that watches a server under the name "mymaster", unless "watch" has
# others: name => server.  conf: more lines of its configuration.

sub redis_sentinel ($redis, %option) {
    state $serial = 0;
    my $name  = 'sentinel' . ($serial++ || '');
    my $port  = test_port($name);
    my $dir   = memory_dir() . "/$name";
    my %watch = %{$option{watch} // {mymaster => $redis}};
    mkdir $dir, 0700;

    my @port = ("port $port");
    @port = ('port 0', "tls-port $port", 'tls-auth-clients no', 'tls-replication yes', 'tls-cert-file ' . certificates->crt($option{tls}),
        'tls-key-file ' . certificates->key($option{tls}), 'tls-ca-cert-file ' . certificates->crt('ca')) if $option{tls};

    spurt("$dir/sentinel.conf", join "\n", @port, 'bind 127.0.0.1', "dir $dir", "unixsocket $dir/redis.sock",
        (map {
            my ($host, $at, $quorum) = ($watch{$_}->host, $watch{$_}->port, $option{quorum} // 1);
            ("sentinel monitor $_ $host $at $quorum", "sentinel down-after-milliseconds $_ 1000",
                "sentinel failover-timeout $_ 5000")
        } sort keys %watch), @{$option{conf} // []}, '');
    my $self = Chatmaid::Test::Redis->new(name => $name, port => $port, socket => "$dir/redis.sock",
        command => ['redis-server', "$dir/sentinel.conf", '--sentinel']);
    return $self->start;
}

# A Redis Cluster of so many masters, which have all slots among them.

sub redis_cluster (%option) {
    my $count   = delete $option{masters} // 3;
    my @masters = map { cluster_node(%option) } 1 .. $count;
    my $share   = int(16384 / $count);
    for my $i (0 .. $#masters) {
        my $last = $i == $#masters ? 16383 : ($i + 1) * $share - 1;
        cluster_slots($masters[$i], ADDSLOTS => $i * $share .. $last);
        $masters[$i]->cli(CLUSTER => 'SET-CONFIG-EPOCH', $i + 1);
        $masters[$i]->meet($masters[0]) if $i;
    }
    wait_for(sub { !grep { $_->cli(CLUSTER => 'INFO') !~ /cluster_state:ok.*cluster_known_nodes:$count\r/s } @masters }, 'the cluster');
    return @masters;
}

sub cluster_node (%option) {
    state $serial = 0;
    my ($port, $bus) = map { test_port($_ . $serial++) } qw(node bus);
    my @bus = ('--cluster-port', $bus);

    # Before Redis 7 it is 10,000 above.
    if (version() < 7) {
        $port = test_port('low' . $serial++) while $port > 55_535;
        ($bus, @bus) = ($port + 10_000);
    }

    my $node = redis_server(%option, port => $port, args => ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf',
        '--cluster-node-timeout', 2000, @bus, $option{tls} ? ('--tls-cluster', 'yes') : (), @{$option{args} // []}]);
    return $node->bus($bus);
}

# By the thousand: all at once would be more than a socket takes.
sub cluster_slots ($node, $command, @slots) {
    while (my @some = splice @slots, 0, 1000) { $node->cli(CLUSTER => $command, @some) }
}

sub meet ($self, $other) { $self->cli(CLUSTER => 'MEET', '127.0.0.1', $other->port, $other->bus) }
sub node_id ($self)      { $self->cli(CLUSTER => 'MYID') }

# A further node, which is a replica of a master, and in step.

sub redis_cluster_replica ($master, %option) {
    my $replica = cluster_node(%option);
    my $id      = $master->node_id;
    $replica->meet($master);
    wait_for(sub { $replica->cli(CLUSTER => 'REPLICATE', $id) eq 'OK' }, 'a replica');
    wait_for(sub { $replica->cli('INFO', 'replication') =~ /master_link_status:up/ }, 'it to be in step');
    wait_for(sub { $master->cli('INFO', 'replication') =~ /state=online/ }, 'the master to know it');
    return $replica;
}

# Moves a slot, as redis-cli --cluster reshard does; calls "between" when the slot
# is being moved, and again when its keys have been.

sub redis_slot_move ($slot, $from, $to, $masters, $between = sub { }) {
    $to->cli(CLUSTER => 'SETSLOT', $slot, 'IMPORTING', $from->node_id);
    $from->cli(CLUSTER => 'SETSLOT', $slot, 'MIGRATING', $to->node_id);
    $between->();
    redis_slot_keys($slot, $from, $to);
    $between->();
    redis_slot_keys($slot, $from, $to);
    $_->cli(CLUSTER => 'SETSLOT', $slot, 'NODE', $to->node_id) for $to, $from, grep { $_ != $to && $_ != $from } @$masters;
}

sub redis_slot_keys ($slot, $from, $to) {
    $from->cli(MIGRATE => '127.0.0.1', $to->port, $_, 0, 5000) for split /\n/, $from->cli(CLUSTER => 'GETKEYSINSLOT', $slot, 1000);
}

# Makes one a replica of the other, and waits until it is in step; of nobody: a
# master.

sub redis_replica_of ($redis, $master = undef) {
    $redis->cli(REPLICAOF => $master ? ($master->host, $master->port) : qw(NO ONE));
    wait_for(sub { $redis->cli('INFO', 'replication') =~ /^role:slave\r?\n.*^master_link_status:up/ms }, 'a replica in step') if $master;
}

# With CHATMAID_FSYNC each fsync() takes as many milliseconds.
sub slow_fsync () {
    return {} unless $ENV{CHATMAID_FSYNC};
    my $library = Chatmaid::Test::Nginx::built('slow-fsync.so');
    return {LD_PRELOAD => $library};
}

# Valkey too counts from 7.
sub version () {
    state $version = do {
        my ($number) = (qx(redis-server --version) // '') =~ /\bv=(\d+)/;
        $number // croak 'redis-server is not installed';
    };
}

sub start ($self) {
    $self->SUPER::start;
    wait_for(sub {
        croak 'redis-server: ' . $self->text unless $self->alive;
        IO::Socket::UNIX->new(Peer => $self->socket)
            && IO::Socket::IP->new(PeerHost => $self->host, PeerPort => $self->port)
    }, 'redis-server');
    return $self;
}

sub url ($self, $user = '') { 'redis://' . $user . '127.0.0.1:' . $self->port }

# A command of our own, past nginx: what redis-cli prints, without the time that
# it takes to start.  Array references before it are commands for the connection.

sub cli ($self, @words) {
    my $socket = IO::Socket::UNIX->new(Peer => $self->socket) or return '';
    while (ref $words[0]) { said($socket, @{shift @words}) }
    return said($socket, @words);
}

sub said ($socket, @words) {
    print $socket '*' . @words . "\r\n" . join '', map { '$' . length($_) . "\r\n$_\r\n" } @words;
    $socket->flush;
    return join "\n", replies($socket);
}

# One reply, and flat what it is made of.
sub replies ($socket) {
    my $line = <$socket> // return;
    my ($kind, $rest) = $line =~ /\A(.)(.*)\r\n\z/s or croak "no reply: $line";
    return map { replies($socket) } 1 .. $rest if $kind eq '*';
    return $rest if $kind ne '$';
    return '' if $rest < 0;

    read $socket, my $bytes, $rest + 2;
    return substr $bytes, 0, $rest;
}

# How often the server has taken a connection.
sub taken ($self) { $self->cli('INFO', 'stats') =~ /total_connections_received:(\d+)/ ? $1 : 0 }

# Connections whose bytes wait for it to read them.
sub unread ($self) {
    my $port = sprintf ':%04X', $self->port;
    return grep { my @field = split; $field[1] =~ /$port\z/ && $field[3] eq '01' && $field[4] !~ /:0+\z/ }
        slurp('/proc/net/tcp') =~ /^ *\d+: .*$/mg;
}


# --- Records -----------------------------------------------------------------

# The fields of a record, those of another version too, or nothing if there is
# none.

sub record ($self, $name) {
    return {$self->cli('HGETALL', $name) =~ /^(.*)\n(.*)$/mg} if $self->cli('TYPE', $name) eq 'hash';

    my %record;
    @record{qw(version state fingerprint begun rest)} = split / /, $self->cli('GET', $name), 5;
    my $rest = delete $record{rest} // return;
    if ($record{state} eq 'done') { @record{qw(status answer)} = split / /, $rest, 2 }
    else { @record{qw(owner lease maybe)} = split / /, $rest }
    return \%record;
}

sub state_of ($self, $name) { ($self->record($name) // {})->{state} // '' }

# What stands in Redis for these fields, less those that are undef.
sub record_text (%record) {
    return join ' ', grep { defined } @record{qw(version state fingerprint begun owner lease maybe status answer)};
}

# How many records whose names match are in a state, of those that began at a time
# in milliseconds or later.

sub count_records ($self, $pattern, $state, $since = 0) {
    my $count = $self->cli('EVAL', q{
        local n = 0
        for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
            local state, begun = redis.call('GET', key):match('^2 (%S+) %S+ (%d+)')
            if state == ARGV[2] and tonumber(begun) >= tonumber(ARGV[3]) then n = n + 1 end
        end
        return n}, 0, $pattern, $state, int $since);
    return $count =~ /\A\d+\z/ ? $count : 0;
}


# --- Keys --------------------------------------------------------------------

# Of an operation's record, in a Cluster too, and of a note.
sub record_of ($key, $account = 'test:', $scope = '') {
    return 'chatmaid:op:' . sha256_hex(Chatmaid::Test::netstrings('chatmaid-record-1', $account, $scope, $key));
}

sub tagged_record_of (@operation) { record_of(@operation) =~ s/op:(.*)/op:{$1}/r }

sub note_of ($account, $id) {
    return 'chatmaid:note:' . sha256_hex(Chatmaid::Test::netstrings('chatmaid-note-1', $account, $id));
}

# A place that was taken in vain has been given back: the clock of the pace is what
# it was, to a second.
sub given_back ($redis, $clock, $was) {
    wait_for(sub { $redis->cli('GET', $clock) < $was + 1_000_000 }, 'the place to be given back');
}


# --- nginx -------------------------------------------------------------------

my $nginx;

sub probe ($directive, %option) {
    $nginx = Chatmaid::Test::nginx(http => "chatmaid_redis $directive;", probe => 'redis', %option, conf => <<'END');
%HEAD%
http {
    %HTTP%
    client_body_buffer_size 16m;
    client_max_body_size    16m;
    server {
        listen 127.0.0.1:%PORT%;
        location /probe { redis_probe; }
    }
}
END
    return $nginx;
}

# All in one turn of the worker's event loop.
sub ask (@commands) { @{$nginx->post($nginx->url('/probe'), \@commands)->{json} // []} }

sub up () { $nginx->get($nginx->url('/probe'))->{json}{up} }


# --- A scripted server -------------------------------------------------------

# It runs in the test's own event loop.  AUTH, SELECT, PING and ROLE are answered
# as a good master does, unless "greeting" does; each other command is given to
# "answer" with the server, its stream, and its words.

sub redis_fake ($answer, %option) { Chatmaid::Test::Redis::Fake->new(answer => $answer, %option)->start }

package Chatmaid::Test::Redis::Fake {
    use Mojo::Base -base, -signatures;
    use Mojo::IOLoop;

    has 'answer';
    has 'greeting';
    has port     => sub { state $n = 0; Chatmaid::Test::World::test_port('fake' . $n++) };
    has seen     => sub { [] };          # all commands but the greetings
    has greeted  => sub { [] };
    has taken    => 0;                   # connections
    has reads    => 0;                   # from all of them

    sub url ($self, $user = '') { "redis://${user}127.0.0.1:" . $self->port }

    sub start ($self) {
        $self->{server} = Mojo::IOLoop->server({address => '127.0.0.1', port => $self->port},
            sub ($loop, $stream, $id) { $self->taken($self->taken + 1); $self->serve($stream) });
        return $self;
    }

    sub stop ($self) {
        Mojo::IOLoop->remove(delete $self->{server}) if $self->{server};
        $_->close for grep { $_ } values %{delete $self->{streams} // {}};
    }

    sub serve ($self, $stream) {
        my $in = '';
        $stream->timeout(0);
        $self->{streams}{$stream} = $stream;
        $stream->on(close => sub ($stream) { delete $self->{streams}{$stream} });
        $stream->on(read => sub ($stream, $bytes) {
            $in .= $bytes;
            $self->reads($self->reads + 1);
            while (my $words = command(\$in)) {
                if ($words->[0] =~ /\A(?:AUTH|SELECT|PING|ROLE)\z/) {
                    push @{$self->greeted}, $words;
                    next if $self->greeting && $self->greeting->($self, $stream, @$words);
                    state $good = {PING => "+PONG\r\n", ROLE => "*3\r\n\$6\r\nmaster\r\n:0\r\n*0\r\n"};
                    $stream->write($good->{$words->[0]} // "+OK\r\n");
                } else {
                    push @{$self->seen}, $words;
                    $self->answer->($self, $stream, @$words);
                }
            }
        });
    }

    sub command ($in) {
        my ($count) = $$in =~ /\A\*(\d+)\r\n/ or return;
        my ($at, @words) = ($+[0]);
        for (1 .. $count) {
            pos($$in) = $at;
            $$in =~ /\G\$(\d+)\r\n/g or return;
            my ($len, $from) = ($1, pos $$in);
            return if length $$in < $from + $len + 2;
            push @words, substr $$in, $from, $len;
            $at = $from + $len + 2;
        }
        substr $$in, 0, $at, '';
        return \@words;
    }
}

1;
