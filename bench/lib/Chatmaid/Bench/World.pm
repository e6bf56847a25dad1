package Chatmaid::Bench::World;

# The processes that one row needs, and its callers.

use Mojo::Base -base, -signatures;
use Carp qw(croak);
use Chatmaid::Bench::Nginx;
use Chatmaid::Bench::Slow;
use Chatmaid::Test::Redis ();
use IO::Select;
use IO::Socket::IP;
use Mojo::File qw(curfile);
use Time::HiRes qw(time);

has [qw(row id secret api redis gateway)];
has before      => sub { [] };       # what the gateway's nginx is run by
has beside      => sub { [] };       # what Chatmaid's and the receiver's is run by
has connections => 1;
has in_flight   => 8;                # requests at once, at most
has redis_delay => 0;                # milliseconds, there and back
has zone        => '64m';
has idle        => sub { [] };       # sockets that wait for a request

my $LASTING = 'keepalive_requests 1000000000; keepalive_time 24h; keepalive_timeout 1h;';
my $LUA     = curfile->dirname->sibling('..', '..', 'lua')->realpath;

my $UPSTREAM = <<'END';
%HEAD%
http {
    %HTTP%
    access_log   off;
    default_type application/json;
    client_max_body_size      2m;
    client_body_buffer_size 128k;
    LASTING
    server {
        listen 127.0.0.1:%PORT% ssl;
        ssl_certificate     %CRT:good%;
        ssl_certificate_key %KEY:good%;
        set $k '1KIB';
        location = /v1/messages/send { return 201 'MESSAGE'; }
        location /v1/messages/       { return 200 'MESSAGE'; }
    }
    server {
        listen 127.0.0.1:%PORT:receiver%;
        location / { return 200 'ok'; }
    }
}
END

my $COMMON = <<'END';
%HEAD%
http {
    %HTTP%
    access_log off;
    client_max_body_size      2m;
    client_body_buffer_size 128k;
    LASTING
    upstream chatmaid_api { server 127.0.0.1:%API%; keepalive 32; LASTING }
    upstream receiver     { server 127.0.0.1:RECEIVER; keepalive 32; LASTING }
    GATEWAY
}
END

my $GATEWAY = <<'END';
    chatmaid_zone                chatmaid:ZONE;
    REDIS
    chatmaid_api_key_file        %DIR%/api_key;
    chatmaid_webhook_secret_file %DIR%/webhook_secret;
    server {
        listen 127.0.0.1:%PORT% backlog=8192;
        location ^~ /chatmaid/ {
            chatmaid_gateway /.chatmaid/;
            chatmaid_sender  +15550100001;
        }
        location ^~ /.chatmaid/ {
            internal;
            PROXY
        }
        location ^~ /plain/ {
            PROXY
        }
        location = /hook-plain {
            RECEIVE
        }
        location = /hook-0 {
            chatmaid_webhook on;
            chatmaid_webhook_dedup 0;
            proxy_set_header X-Chatmaid-Event $chatmaid_webhook_event;
            RECEIVE
        }
        location = /hook {
            chatmaid_webhook on;
            proxy_set_header X-Chatmaid-Event $chatmaid_webhook_event;
            RECEIVE
        }
    }
END

my $PEER = <<'END';
    lua_package_path "LUA/?.lua;;";
    init_by_lua_block {
        require "resty.core"
        peer = require "peer"
        peer.redis_port = REDIS_PORT
        peer.secret = "SECRET"
        peer.sender = "+15550100001"
    }
    server {
        listen 127.0.0.1:%PORT%;
        location = /chatmaid/send { content_by_lua_block { peer.send() } }
        location = /hook          { content_by_lua_block { peer.webhook() } }
        location ^~ /peer-api/ {
            internal;
            proxy_pass_request_headers off;
            proxy_set_header Content-Type application/json;
            include %DIR%/authorization;
            PROXY
        }
        location = /peer-receiver {
            internal;
            RECEIVE
        }
    }
END

my $KEPT    = 'proxy_http_version 1.1; proxy_set_header Connection "";';
my $RECEIVE = "proxy_pass http://receiver; $KEPT";
my $PROXY   = "proxy_pass https://chatmaid_api/; $KEPT proxy_set_header Host developers-api.chatmaid.net; "
    . 'proxy_ssl_server_name on; proxy_ssl_name developers-api.chatmaid.net; proxy_ssl_verify on; '
    . 'proxy_ssl_trusted_certificate %CA%;';


# --- What runs ---------------------------------------------------------------

sub start ($self) {
    my $row   = $self->row;
    my $redis = $row->{redis} && $self->redis(Chatmaid::Test::Redis::redis_server())->redis;
    my $key   = Chatmaid::Test::test_key();
    my $port  = $redis ? $redis->port : 0;
    my $url   = $redis ? $redis->url : '';

    if ($redis && $self->redis_delay) {
        $self->{slow} = Chatmaid::Bench::Slow->new(name => "slow-$row->{name}", to => $port, delay => $self->redis_delay)->start;
        $url =~ s/:\d+/':' . $self->{slow}->port/e;
    }

    $self->api(Chatmaid::Bench::Nginx->new(name => "api-$row->{name}", before => $self->beside,
        option => {no_module => 1, error_log => 'error', conf => $self->upstream})->start);

    my %text = (
        GATEWAY    => $row->{lua} ? $PEER : $GATEWAY,
        LASTING    => $LASTING,
        RECEIVE    => $RECEIVE,
        RECEIVER   => $self->api->port('receiver'),
        PROXY      => $PROXY,
        REDIS      => $redis ? "chatmaid_redis $url timeout=20s;" : '',
        REDIS_PORT => $port,
        ZONE       => $self->zone,
        LUA        => $LUA,
        SECRET     => $self->secret,
    );
    my $conf = $COMMON;
    1 while $conf =~ s/\b(GATEWAY|RECEIVER|RECEIVE|LASTING|PROXY|REDIS_PORT|REDIS|ZONE|LUA|SECRET)\b/$text{$1}/g;

    my %lua = (no_module => 1, before => [map { "/usr/lib/nginx/modules/$_.so" } qw(ndk_http_module ngx_http_lua_module)]);
    $self->gateway(Chatmaid::Bench::Nginx->new(name => $row->{name}, before => $self->before, option => {
        conf => $conf, main => 'master_process off; worker_rlimit_nofile 65536;', error_log => 'error', api => $self->api,
        connections => 32768, key => $key,
        files => {webhook_secret => $self->secret . "\n", authorization => qq(proxy_set_header Authorization "Bearer $key";\n)},
        $row->{lua} ? %lua : ()})->start);

    $self->idle([map { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $self->gateway->port) // croak "connect: $@" }
        1 .. $self->connections]);
    $self->drive(0) if $row->{first};
    return $self;
}

# A message as long as the row's: nginx takes no word of 64 KiB, but a variable
# many times.

sub upstream ($self) {
    my $thousands = int(($self->row->{size} // 0) / 1024);
    my $text      = $thousands ? '$k' x $thousands : 'Your table is ready';
    my $message   = sprintf '{"success":true,"data":{"id":"%s","from":"+15550100001","to":"+15550100099",'
        . '"content":"%s","mediaUrls":[],"status":"sent"}}', $self->id, $text;
    my %text = (LASTING => $LASTING, MESSAGE => $message, '1KIB' => 'Your table is ready, ' x 48 . 'see you there.. ');
    return $UPSTREAM =~ s/\b(LASTING|MESSAGE|1KIB)\b/$text{$1}/gr;
}

sub stop ($self) {
    $_->close for $self->idle->@*;
    $_->stop for grep { $_ } $self->gateway, $self->api, $self->{slow}, $self->redis;
    my $log = $self->gateway->error_log;
    croak "the error log of $self->{row}{name} is not empty: $log" if length $log;
}

# How many scripts, or commands of the peer's, Redis has run.
sub scripts ($self) {
    return 0 unless $self->redis;
    my $command = $self->row->{lua} ? 'set' : 'evalsha';
    return $self->redis->cli('INFO', 'commandstats') =~ /cmdstat_$command:calls=(\d+)/ ? $1 : 0;
}


# --- Callers -----------------------------------------------------------------

# These requests, as fast as they are answered: how many seconds it took.

sub drive ($self, @numbers) {
    my $begun = time;
    $self->send_all($self->in_flight, sub { @numbers ? (shift @numbers, 0) : () });
    return time - $begun;
}

# These requests, so many a second whatever the answers do: how many seconds each
# took from when it was due.  So one that had to wait for a connection is slow too.

sub pace ($self, $rate, @numbers) {
    my $due = time;
    return $self->send_all(scalar $self->idle->@*, sub { @numbers ? (shift @numbers, $due += 1 / $rate) : () });
}

# "next" gives the number of a request and when it is due, or nothing.

sub send_all ($self, $in_flight, $next) {
    my $idle   = $self->idle;
    my $select = IO::Select->new;
    my ($number, $due) = $next->();
    my (%busy, @seconds);

    while (defined $number || %busy) {

        while (defined $number && @$idle && keys %busy < $in_flight && $due <= time) {
            my $socket = shift @$idle;
            $busy{$socket} = {number => $number, due => $due || time, in => ''};
            $select->add($socket);
            $self->write_all($socket, $self->row->{request}->($number, $self->row->{size}));
            ($number, $due) = $next->();
        }

        my $pause = defined $number && @$idle && keys %busy < $in_flight ? $due - time : 60;
        for my $socket ($select->can_read($pause > 0 ? $pause : 0)) {
            my $one = $busy{$socket};
            $socket->sysread($one->{in}, 262144, length $one->{in}) or croak 'the gateway has closed a connection';
            next unless $self->answered($one);

            push @seconds, time - $one->{due};
            delete $busy{$socket};
            $select->remove($socket);
            push @$idle, $socket;
        }
    }

    return @seconds;
}

sub write_all ($self, $socket, $bytes) {
    while (length $bytes) {
        my $written = $socket->syswrite($bytes) // croak "write: $!";
        substr $bytes, 0, $written, '';
    }
}

# Is it all here, and right?
sub answered ($self, $one) {
    $one->{in} =~ /\r\n\r\n/ or return 0;
    my ($head, $body) = (substr($one->{in}, 0, $-[0]), substr $one->{in}, $+[0]);
    my ($length) = $head =~ /^Content-Length: (\d+)/mi or croak "no Content-Length:\n$head";
    return 0 if length $body < $length;

    my ($row, $i) = ($self->row, $one->{number});
    croak "$row->{name}, request $i: not the answer that was expected\n$head\n\n$body"
        unless $row->{check}->((split ' ', $head)[1], $head, $body) || $row->{first} && $i == 0;
    return 1;
}

1;
