package Chatmaid::Sandbox;

# Plays the Chatmaid API over TLS, as far as its behavior is known, and misplays
# it as a test's script of faults says.  It keeps a journal of what it received:
# what tests assert is what Chatmaid saw, not what the gateway said.
#
# One request passes through: arrive (journal, fault) -> before the effect (hold,
# delay) -> admit (key, rate, scope) -> its action -> answer (hold, delay) -> wire.

use Mojo::Base 'Mojolicious', -signatures;
use Chatmaid::Certificates;
use Chatmaid::Sandbox::Actions;
use Chatmaid::Sandbox::Control;
use Chatmaid::Sandbox::Messages;
use Chatmaid::Sandbox::Webhooks;
use Chatmaid::Sandbox::Wire qw(write_answer drop is_wire_fault);
use Mojo::File qw(path);
use Mojo::IOLoop;
use Mojo::JSON qw(decode_json encode_json);
use Mojo::Promise;
use Mojo::Server::Daemon;
use POSIX qw(ceil);
use Time::HiRes qw(time);

has settings => sub { {keys => [], rate => undef} };
has data     => sub { Chatmaid::Sandbox::Messages->new };
has webhooks => sub ($self) { Chatmaid::Sandbox::Webhooks->new->watch($self->data) };
has journal  => sub { [] };
has faults   => sub { [] };
has held     => sub { [] };
has 'server';

my %NAME = (400 => 'Bad Request', 401 => 'Unauthorized', 403 => 'Forbidden',
            404 => 'Not Found',   429 => 'Too Many Requests');


sub startup ($self) {
    $self->log->level('fatal');
    $self->hook(after_build_tx => sub ($tx, $app) {
        $tx->req(Chatmaid::Sandbox::Wire::Request->new);
    });

    $self->add_routes($self->routes->under('/' => sub ($c) { $self->arrive($c) }));
}

sub add_routes ($self, $routes) {
    Chatmaid::Sandbox::Actions::add_routes($self, $routes);
    $routes->any('/*any' => {any => ''} => sub ($c) {
        my ($method, $path) = ($c->req->method, path_of($c->stash('record')));
        $self->refuse($c, 404, "Cannot $method $path") if $self->admit($c, undef);
    });
}


# --- Arrival -----------------------------------------------------------------

sub path_of ($record) { (split /\?/, $record->{target} // '')[0] // '' }

sub arrive ($self, $c) {
    my $tx     = $c->render_later->tx;
    my $record = $self->record($tx);
    my $fault  = $self->take_fault($record);

    # The transaction must outlive its connection: a held request is acted on
    # also when the gateway has hung up, as a real server would.
    $c->stash(record => $record, fault => $fault, kept => $tx);
    $tx->on(finish => sub { $record->{aborted} = 1 unless $record->{answered} });

    return 1 unless $fault;

    my $go_on = sub {
        return drop($tx->connection, $fault->{reset})
            if ($fault->{close} // '') eq 'before';
        return $self->answer($c, 200, {}) unless $fault->{effect};
        $c->tx($tx)->continue;
    };
    $self->pause($record, $fault, 'before')->then($go_on)
        ->catch(sub ($error) { warn $error });
    return undef;
}

sub record ($self, $tx) {
    my $req        = $tx->req;
    my $connection = $self->{connections}{$tx->connection} //= do {
        my $id     = $tx->connection;
        my $stream = Mojo::IOLoop->stream($id);
        $stream->on(close => sub { delete $self->{connections}{$id} });
        +{id => ++$self->{accepted}, requests => 0, stream => $id,
          sni => scalar eval { $stream->handle->get_servername }};
    };

    my $record = {
        n          => scalar @{$self->journal} + 1,
        time       => time,
        connection => $connection->{id},
        reused     => $connection->{requests}++ ? 1 : 0,
        sni        => $connection->{sni},
        method     => $req->method,
        target     => $req->target,
        version    => $req->version,
        headers    => $req->headers->in_order,
        body       => $req->body,
        effect     => 0,
    };
    push @{$self->journal}, $record;

    my ($bearer) = map { $_->[1] =~ /^Bearer (\S+)$/ } grep {
        lc $_->[0] eq 'authorization' } @{$record->{headers}};
    $self->identify($record, $bearer);

    ($record->{request_id}) = map { $_->[1] } grep {
        lc $_->[0] eq 'x-request-id' } @{$record->{headers}};

    return $record;
}

sub identify ($self, $record, $bearer) {
    $record->{key} = $bearer;
    my ($known) = grep { $_->{key} eq ($bearer // '') } @{$self->settings->{keys}};
    return unless $known;

    $record->{account}     = $known->{account} // 'main';
    $record->{environment} = $bearer =~ /^sk_live_/ ? 'live' : 'test';
}

# The first fault that matches is used up once; times 0 is for ever.  With
# "every" => N it is for each Nth request that matches.

sub take_fault ($self, $record) {
    my $path = path_of($record);

    for my $i (0 .. $#{$self->faults}) {
        my $fault = $self->faults->[$i];
        my $match = $fault->{match};

        next if $match->{method} && $match->{method} ne $record->{method};
        next if defined $match->{request_id}
            && $match->{request_id} ne ($record->{request_id} // '');
        next if defined $match->{reused} && $match->{reused} != $record->{reused};
        next if defined $match->{path} && !($match->{path} =~ /^(.*)\*$/
            ? index($path, $1) == 0 : $path eq $match->{path});

        next if $fault->{every} && ++$fault->{seen} % $fault->{every};

        splice @{$self->faults}, $i, 1 if $fault->{times} && --$fault->{times} == 0;
        $record->{fault} = $fault->{id};
        return $fault;
    }

    return undef;
}

# A fault that only spoils the answer leaves the effect alone; one that brings
# its own answer stands for a server that did nothing.  "effect" overrides both.

sub add_fault ($self, $fault) {
    $fault->{id}       = ++$self->{fault_serial};
    $fault->{times}  //= 1;
    $fault->{match}  //= {};
    $fault->{effect} //= !grep { defined $fault->{$_} } qw(status body json raw);
    push @{$self->faults}, $fault;
    return $fault->{id};
}

# Before or after the effect: waits for the test's release, for some time, or not.

sub pause ($self, $record, $fault, $when) {
    my $delay = $when eq 'before' ? $fault->{delay_before} : $fault->{delay};

    if (($fault->{hold} // '') eq $when) {
        my $promise = Mojo::Promise->new;
        push @{$self->held}, {record => $record, when => $when, promise => $promise};
        return $promise;
    }
    return Mojo::Promise->timer($delay / 1000) if $delay;
    return Mojo::Promise->resolve;
}

sub release ($self, $count = undef) {
    my @released = splice @{$self->held}, 0, $count // scalar @{$self->held};
    $_->{promise}->resolve for @released;
    return scalar @released;
}


# --- Keys, rates and scopes --------------------------------------------------

sub admit ($self, $c, $scope) {
    my $record = $c->stash('record');
    my ($key)  = grep { $_->{key} eq ($record->{key} // '') } @{$self->settings->{keys}};

    if (!$key || $key->{expired}) {
        $self->refuse($c, 401, !defined $record->{key} ? 'Missing API key'
            : $key ? 'Expired API key' : 'Invalid API key');
        return 0;
    }

    my $account = $self->data->account(@$record{qw(account environment)});
    $c->stash(account => $account);
    $account->{requests}{total}++;

    if (my $wait = $self->over_rate($key->{key}, $record)) {
        $c->stash(fault => undef);              # refused at the door, at once
        $self->refuse($c, 429, 'Rate limit exceeded', retryAfter => $wait);
        return 0;
    }

    return 1 if !$scope || !$key->{scopes};
    return 1 if grep { $_ =~ $scope } @{$key->{scopes}};
    $self->refuse($c, 403, 'API key lacks the required scope');
    return 0;
}

# Rejected calls do not count.  Chatmaid's kind of window is unknown: a sliding
# one, or with "window" => "fixed" one that begins by the clock, whose number the
# journal then has.  The time to wait is rounded up, as it goes in whole seconds.

sub over_rate ($self, $key, $record) {
    my $rate = $self->settings->{rate} or return 0;
    my $now  = time;

    if (($rate->{window} // '') eq 'fixed') {
        my $window = $record->{window} = int($now / $rate->{seconds});
        return 0 if $self->{rates}{"$key $window"}++ < $rate->{requests};
        return ceil(($window + 1) * $rate->{seconds} - $now) || 1;
    }

    my $seen = $self->{rates}{$key} //= [];
    shift @$seen while @$seen && $seen->[0] <= $now - $rate->{seconds};
    return ceil($seen->[0] + $rate->{seconds} - $now) || 1 if @$seen >= $rate->{requests};
    push @$seen, $now;
    return 0;
}


# --- Answers -----------------------------------------------------------------

sub answer_found ($self, $c, $what, $found) {
    return $self->refuse($c, 404, "$what not found") unless $found;
    $self->answer($c, 200, {success => \1, data => $found});
}

sub answer_page ($self, $c, @found) {
    my ($page, $limit) = ($c->param('page') // 1, $c->param('limit') // 20);
    my @wrong;
    push @wrong, 'page must be a positive integer' if $page !~ /\A[1-9][0-9]{0,8}\z/;
    push @wrong, 'limit must be between 1 and 100'
        if $limit !~ /\A[1-9][0-9]{0,2}\z/ || $limit > 100;
    return $self->refuse($c, 400, \@wrong) if @wrong;

    my $total = @found;
    my @data  = splice @found, ($page - 1) * $limit < $total ? ($page - 1) * $limit : $total, $limit;
    $self->answer($c, 200, {success => \1, data => {data => \@data, pagination => {
        page => $page + 0, limit => $limit + 0, total => $total,
        totalPages => ceil($total / $limit)}}});
}

sub refuse ($self, $c, $status, $message, %more) {
    my $account = $c->stash('account');
    $account->{requests}{failed}++ if $account;
    $self->answer($c, $status, {
        success    => \0,
        error      => $NAME{$status},
        message    => ref $message ? $message : [$message],
        statusCode => $status,
        timestamp  => Chatmaid::Sandbox::Messages::iso(),
        path       => path_of($c->stash('record')),
        %more});
}

sub answer ($self, $c, $status, $json) {
    my ($record, $fault) = @{$c->stash}{qw(record fault)};
    return $self->deliver($c, $status, $json) unless $fault;

    $self->pause($record, $fault, 'after')
        ->then(sub { $self->deliver($c, $status, $json) })
        ->catch(sub ($error) { warn $error });
}

sub deliver ($self, $c, $status, $json) {
    my ($record, $tx) = @{$c->stash}{qw(record kept)};
    my $fault  = $c->stash('fault') // {};

    return drop($tx->connection, $fault->{reset}) if $fault->{close};

    $json->{padding} = 'x' x $fault->{oversize} if $fault->{oversize};
    $status = $fault->{status} // $status;
    my $body = $fault->{body} // encode_json($fault->{json} // $json);
    utf8::encode($body) if defined $fault->{body};
    my @headers = length $body || !$fault->{status}
        ? ['Content-Type' => $fault->{type} // 'application/json; charset=utf-8'] : ();
    push @headers, header_list($fault->{headers});

    @$record{qw(answered status ended)} = (1, $status, time);
    return write_answer($tx->connection, $fault, $status, \@headers, $body)
        if is_wire_fault($fault);

    return if $tx->is_finished;                 # the gateway has hung up
    $tx->res->headers->add(@$_) for @headers;
    $tx->res->code($status)->body($body);
    $c->tx($tx)->rendered($status);
}

sub header_list ($headers) {
    return @{$headers // []} if ref($headers // []) eq 'ARRAY';
    return map { [$_ => $headers->{$_}] } sort keys %$headers;
}


# --- The process -------------------------------------------------------------

sub configure ($self, $new) {
    my $settings = $self->settings;
    my $data     = $self->data;

    $settings->{$_} = $new->{$_} for grep { exists $new->{$_} } qw(keys rate);
    $data->dedup($new->{dedup})       if exists $new->{dedup};
    $data->schedule($new->{schedule}) if exists $new->{schedule};
    $data->extra($new->{accounts})    if exists $new->{accounts};
    $self->webhooks->configure($new->{webhooks}) if exists $new->{webhooks};

    my $server = $self->server or return;
    $server->keep_alive_timeout($new->{keepalive}) if exists $new->{keepalive};
    $server->max_requests($new->{max_requests})    if exists $new->{max_requests};
}

sub reset ($self) {
    $self->release;
    @{$self->journal} = @{$self->faults} = ();
    $self->{rates} = {};
    $self->data->clear;
    $self->webhooks->clear;
}

# Closes connections that wait for their next request, as a server that is
# tired of them does; the gateway may be about to use one.

sub close_idle ($self) {
    my %busy = map { $_->{record}{connection} => 1 } @{$self->held};
    my @idle = grep { !$busy{$_->{id}} } values %{$self->{connections}};
    drop($_->{stream}) for @idle;
    return scalar @idle;
}

# One TLS context for all connections.  Mojolicious makes one for each, which
# reads all authorities of the system: ten times the work of a handshake.

sub share_context () {
    my $context;
    require IO::Socket::SSL;
    IO::Socket::SSL::set_args_filter_hack(sub ($is_server, $args) {
        $args->{SSL_reuse_ctx} = $context //= IO::Socket::SSL::SSL_Context->new({%$args}) if $is_server;
    });
}

# From the options of t/sandbox.pl.  With "ready" the ports are written there as
# JSON once both accept.

sub run ($class, %option) {
    my $certificates = Chatmaid::Certificates->new(dir => $option{dir});
    my $settings     = $option{settings} ? decode_json(path($option{settings})->slurp)
        : {keys => [{key => 'sk_test_local_sandbox', account => 'sandbox'}]};

    # A test that was killed leaves no process behind.
    unless ($option{orphan}) {
        Mojo::IOLoop->singleton->reactor->io(\*STDIN => sub {
            POSIX::_exit(0) unless sysread STDIN, my $ignored, 4096;
        })->watch(\*STDIN, 1, 0);
    }

    $class->serve(
        %option{qw(host port control plain)},
        cert     => $certificates->crt($option{cert}),
        key      => $certificates->key($option{cert}),
        ca       => $certificates->crt('ca'),
        settings => $settings,
        ready    => sub ($api, $control) {
            my $ports = encode_json({api => $api, control => $control, pid => $$});
            told($option{ready}, $ports) if $option{ready};
            say $ports;
            STDOUT->flush;
        },
    );
}

# The file is whole once it is there.
sub told ($file, $ports) {
    open my $out, '>', "$file.new" or die "$file.new: $!";
    print $out $ports;
    close $out;
    rename "$file.new", $file or die "$file: $!";
}

# Both listeners in one process and loop; ready($api_port, $control_port) is
# called once they accept.  Kept-alive connections outlast nginx's own timeout,
# unless a test wants them to end first.

sub serve ($class, %option) {
    my $self = $class->new;
    my $at   = ($option{host} // '127.0.0.1') . ($option{port} ? ":$option{port}" : '');
    share_context() unless $option{plain};
    $self->server(Mojo::Server::Daemon->new(
        app => $self, silent => 1, inactivity_timeout => 0, max_clients => 20000,
        keep_alive_timeout => 3600, max_requests => 1_000_000_000,
        listen => [$option{plain} ? "http://$at"
            : "https://$at?cert=$option{cert}&key=$option{key}"])->start);
    $self->webhooks->ca($option{ca}) if $option{ca};
    $self->configure($option{settings} // {});

    my $control = Chatmaid::Sandbox::Control->new(sandbox => $self)->listen($option{control});
    $option{ready}->($self->server->ports->[0], $control);

    local @SIG{qw(INT TERM)} = (sub { Mojo::IOLoop->stop }) x 2;
    local $SIG{PIPE} = 'IGNORE';                # Mojo's own, which a fork may have undone
    my $wake = Mojo::IOLoop->recurring(1 => sub { });       # so that signals are seen
    Mojo::IOLoop->start;
    Mojo::IOLoop->remove($wake);
}

1;
