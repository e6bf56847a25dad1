package Chatmaid::Test::Nginx;

# A real nginx in a directory of its own, with the gateway's usual configuration
# or any other.  See Chatmaid::Test for the options.

use Mojo::Base 'Chatmaid::Test::Process', -signatures;
use Carp qw(croak);
use Chatmaid::Test::Client;
use Chatmaid::Test::World qw(test_dir test_port free_port wait_for slurp spurt seen certificates);
use IO::Socket::IP;
use List::Util qw(uniq);
use Mojo::File qw(path);

has signal => 'QUIT';
has option => sub { {} };
has clock  => sub ($self) { $self->option->{clock} };
has dir    => sub ($self) { test_dir() . '/' . $self->name };
has client => sub ($self) {
    Chatmaid::Test::Client->new(base => $self->url('/chatmaid'));
};
has expected => sub { [] };      # [[qr/line/, reason], …]

# Debug lines are many: half of the work of a request.  A test that looks for one
# or for secrets in them says so, and CHATMAID_LOG=debug has all say them.
my $level = $ENV{CHATMAID_LOG} // 'info';
sub debug_logs () { $level = 'debug' }

# What t/zone-probe brings about, and a kill by chance.
my $LOST = qr/chatmaid zone has lost its records: a worker died while it changed them/;

my $top = path(__FILE__)->dirname->child('../../../..')->realpath;


# --- Configuration -----------------------------------------------------------

my $WHOLE = <<'END';
%HEAD%
http {
    %HTTP%
    upstream chatmaid_api { %upstream% }

    server {
        listen 127.0.0.1:%PORT%;
        %server%
        location ^~ /chatmaid/ {
            %gateway%
        }
        location ^~ /.chatmaid/ {
            %internal%
        }
    }
    %servers%
}
END

my $HEAD = <<'END';
%LOAD%
daemon off;
%USER%
pid %DIR%/nginx.pid;
error_log %DIR%/error.log %LEVEL%;
worker_processes %WORKERS%;
events { worker_connections %CONNECTIONS%; }
%CLOCK%
%main%
END

# The gateway's key reaches a log by a header or a variable: both are logged.

my $HTTP = <<'END';
    log_format all '$remote_addr "$request" $status $body_bytes_sent $request_time '
        'authorization="$http_authorization" sent="$sent_http_content_type|'
        '$sent_http_authorization|$sent_http_idempotency_key|'
        '$sent_http_idempotent_replayed|$sent_http_x_request_id|'
        '$sent_http_retry_after|$sent_http_chatmaid_wait|$sent_http_location|'
        '$sent_http_www_authenticate|$sent_http_allow|$sent_http_x_accel_redirect" '
        'upstream="$upstream_addr|$upstream_status|$upstream_response_time|'
        '$upstream_http_authorization" %ACCESS%';
    access_log %DIR%/access.log all;
    client_body_temp_path %DIR%/body;
    proxy_temp_path       %DIR%/proxy;
    fastcgi_temp_path     %DIR%/fastcgi;
    uwsgi_temp_path       %DIR%/uwsgi;
    scgi_temp_path        %DIR%/scgi;
END

# Ten seconds, the default, are soon over on a busy machine: a duplicate waits
# for as long as chatmaid_timeout lets it.

my %DEFAULT = (
    http     => "chatmaid_api_key_file %DIR%/api_key;\nchatmaid_idempotency_wait 2m;\n",
    upstream => "server 127.0.0.1:%API%;\nkeepalive 32;\n",
    gateway  => "chatmaid_gateway /.chatmaid/;\n",
    internal => <<'END',
            internal;
            proxy_pass                    https://chatmaid_api/;
            proxy_set_header              Host developers-api.chatmaid.net;
            proxy_set_header              Connection "";
            proxy_http_version            1.1;
            proxy_ssl_server_name         on;
            proxy_ssl_name                developers-api.chatmaid.net;
            proxy_ssl_verify              on;
            proxy_ssl_verify_depth        3;
            proxy_ssl_trusted_certificate %CA%;
            proxy_connect_timeout         20s;
            proxy_send_timeout            20s;
            proxy_read_timeout            20s;
            proxy_next_upstream           off;
            proxy_ignore_headers          X-Accel-Redirect X-Accel-Buffering X-Accel-Limit-Rate;
END
);

# For an internal location of a test's own.  It says where to.
my $PROXY = 'internal; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_ssl_server_name on; '
    . 'proxy_ssl_verify on; proxy_ssl_name developers-api.chatmaid.net; proxy_ssl_trusted_certificate %CA%;';

# A directive that the test gives replaces the default of that name (of that
# name and first argument for proxy_set_header); "-name;" only takes it away.

sub identity ($line) {
    my ($minus, $name, $first) = $line =~ /^\s*(-?)([a-z]\w*)(?:\s+([^\s;]+))?/ or return '';
    return $name eq 'proxy_set_header' ? "$name $first" : $name;
}

sub merged ($default, $given) {
    $given //= '';
    my %given = map { identity($_) => 1 } split /\n|(?<=;)/, $given;
    my @kept  = grep { !$given{identity($_)} } split /\n/, $default;
    return join "\n", @kept, grep { !/^\s*-/ } split /\n|(?<=;)/, $given;
}

# %NAME% in upper case is a value.  %PORT:name% is a free port of that name, the
# same each time.

sub render ($self, $option = $self->option) {
    my $load = join ' ', map { "load_module $_;" } modules($option);
    my $dir  = $self->dir;
    my $tls  = certificates;

    my $conf = $option->{conf} // $WHOLE;
    $conf =~ s/%HEAD%/$HEAD/;
    $conf =~ s/%HTTP%/"$HTTP\n%http%"/e;
    $conf =~ s/%http%/merged($option->{conf} ? '' : $DEFAULT{http}, $option->{http})/e;
    $conf =~ s/%(upstream|gateway|internal)%/merged($DEFAULT{$1}, $option->{$1})/ge;
    $conf =~ s/%(main|server|servers)%/$option->{$1} \/\/ ''/ge;

    my %value = (
        LOAD    => sub { $load },
        PROXY   => sub { $PROXY },
        USER    => sub { $> ? '' : 'user root;' },     # its directory is private
        DIR     => sub { $dir },
        LEVEL   => sub { $option->{error_log} // $level },
        WORKERS => sub { $option->{workers} // 1 },
        CONNECTIONS => sub { $option->{connections} // 4096 },
        ACCESS  => sub { $option->{access} // '' },
        CLOCK   => sub { $self->clock ? $self->clock->directives : '' },
        PORT    => sub ($name = '') { test_port($self->name . ($name && ":$name")) },
        API     => sub { $option->{api} ? $option->{api}->port : test_port('nobody') },
        CA      => sub { $tls->crt('ca') },
        CRT     => sub ($kind = 'edge') { $tls->crt($kind) },
        KEY     => sub ($kind = 'edge') { $tls->key($kind) },
    );
    1 while $conf =~ s/%([A-Z]+)(?::(\w+))?%/
        ($value{$1} \/\/ croak "unknown placeholder $1")->($2 \/\/ ())/gex;

    # The parameter is deprecated since then, which is worth a warning to nginx.
    $conf =~ s/(\blisten\s[^;]*?)\s+http2\b([^;]*;)/$1$2 http2 on;/g if version() ge v1.25.1;
    return $conf;
}

# Of the nginx under test, for comparisons as v-strings.
sub version () {
    state $version = do {
        my $program = $ENV{NGINX} || 'nginx';
        my ($numbers) = qx($program -v 2>&1) =~ m{nginx/([0-9.]+)} or croak "$program does not run";
        join '', map { chr } split /\./, $numbers;
    };
}

# The module, unless it is built in, and a probe that was built with it; those of
# others before or behind it.

sub module () { $ENV{CHATMAID_MODULE} // "$top/build/ngx_http_chatmaid_module.so" }

sub modules ($option) {
    my @others = ($option->{before} // [], $option->{behind} // []);
    my @ours;
    push @ours, path(module())->to_abs if length module();
    push @ours, built("ngx_http_chatmaid_$option->{probe}_probe_module.so") if @ours && $option->{probe};
    return (@{$others[0]}, $option->{no_module} ? () : @ours, @{$others[1]});
}

# What was built beside the module, for tests.
sub built ($name) {
    my $file = path(module() || "$top/build/none")->to_abs->sibling($name);
    croak "$file is missing: `make probe` builds it" unless -e $file;
    return $file;
}

# Writes the configuration and the files it names, without making nginx read them.

sub write ($self) {
    my ($dir, $option) = ($self->dir, $self->option);
    mkdir $dir, 0700;
    $self->key($option->{key})             if defined $option->{key};
    $self->file($_, $option->{files}{$_})  for keys %{$option->{files} // {}};
    spurt("$dir/nginx.conf", $self->render);
    return $self;
}

sub file ($self, $name, $text, $mode = 0600) {
    mkdir $self->dir, 0700;
    return spurt($self->dir . "/$name", $text, $mode);
}

# Rotates the key; reload() makes it known.
sub key ($self, $key) { $self->file(api_key => "$key\n"); return $self }

# Changes some options, for the next reload().
sub configure ($self, %new) {
    $self->option({%{$self->option}, %new});
    return $self->write;
}

sub program ($self, @more) {
    return ($ENV{NGINX} || 'nginx', '-p', $self->dir, '-e', $self->dir . '/error.log',
        '-c', $self->dir . '/nginx.conf', @more);
}

# (exit code, what it said) of nginx -t or -T.
sub test ($self, $flag = '-t') {
    my @command = $self->program($flag);
    my $pid = open(my $out, '-|') // croak "fork: $!";
    if (!$pid) {
        delete $ENV{NGINX};             # to nginx, sockets that it inherits
        $ENV{ASAN_OPTIONS} = 'detect_leaks=0';      # -t and -T end without cleaning up
        open STDERR, '>&', \*STDOUT;
        alarm 60;
        exec @command or POSIX::_exit(127);
    }
    my $said = do { local $/; <$out> } // '';
    close $out;
    return ($? >> 8 || $? & 127, seen("the output of nginx $flag", $said));
}


# --- Life --------------------------------------------------------------------

sub port ($self, $name = '') { test_port($self->name . ($name && ":$name")) }
sub url ($self, $path)              { 'http://127.0.0.1:' . $self->port . $path }

sub start ($self) {
    for my $try (1 .. 3) {
        my $from = length $self->error_log;
        $self->{crashed} = 0;
        $self->write->command([$self->program]);
        $self->SUPER::start;
        return $self if wait_for(sub { $self->serves || !$self->alive }, 'nginx to start')
            && $self->alive;

        my $said = substr($self->error_log, $from) . $self->text;
        croak "nginx did not start: " . $said =~ s/^.*\[debug\].*\n//mgr
            unless $said =~ /Address already in use/ && $try < 3;
        unlink $self->dir . '/error.log', $self->output;
        free_port($self->name . $_)
            for '', map { /%PORT(:\w+)%/g } grep { defined } values %{$self->option};
    }
}

# All its workers are there and each of its ports takes connections.

sub serves ($self) {
    my ($count) = slurp($self->dir . '/nginx.conf') =~ /^worker_processes\s+(\d+)/m;
    return 0 unless -s $self->dir . '/nginx.pid' && $self->workers >= ($count // 1);

    my @ports = uniq slurp($self->dir . '/nginx.conf') =~ /\blisten\s+127\.0\.0\.1:(\d+)/g;
    for my $port (@ports) {
        IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port, Timeout => 5) or return 0;
    }
    return 1;
}

# pid => title of the master's children.
sub children ($self) {
    my $pid = $self->pid;
    return map { $_ => title_of($_) } split ' ', slurp("/proc/$pid/task/$pid/children");
}

# Empty for a process that has gone, or that nobody has waited for yet.
sub title_of ($pid) {
    open my $in, '<', "/proc/$pid/cmdline" or return '';
    local $/;
    return (<$in> // '') =~ tr/\0/ /r;
}

# Those that take requests, not those that are shutting down.
sub workers ($self) {
    my %title = $self->children;
    my @workers = sort { $a <=> $b } grep { $title{$_} =~ /worker process\s*$/ } keys %title;
    return @workers;
}

# The new workers serve, and the old ones no longer accept.

sub reload ($self) {
    my %old  = map { $_ => 1 } $self->workers;
    my $from = length $self->error_log;

    $self->kill('HUP');
    wait_for(sub {
        my @now = $self->workers;
        croak 'reload failed: ' . join '', grep { /\[emerg\]/ } $self->log_lines($from)
            if substr($self->error_log, $from) =~ /\[emerg\]/;
        @now && !grep { $old{$_} } @now;
    }, 'new workers');
    wait_for(sub { $self->serves }, 'new workers to serve');
    return $self;
}

# Kills workers the hard way (all of them, or those named); the master starts
# others.  Returns once they serve.  Of a thousand that are killed at full load,
# about two have the zone locked.

sub kill_workers ($self, @pids) {
    my @old = @pids ? @pids : $self->workers;
    $self->expect(qr/worker process $_ exited on signal 9|zone "\w+" was locked by $_$/, 'killed by the test') for @old;
    $self->expect($LOST, 'killed by the test') unless $self->{killed}++;
    CORE::kill KILL => @old;
    my %old = map { $_ => 1 } @old;
    wait_for(sub { my %now = $self->children; !grep { $old{$_} } keys %now }, 'workers to die');
    wait_for(sub { $self->serves }, 'new workers');
    return $self;
}

# Master and workers at once, as a power cut does.
sub crash ($self) {
    my %children = $self->children;
    CORE::kill KILL => $self->pid, keys %children;
    wait_for(sub { !$self->alive && !grep { length title_of($_) } keys %children }, 'nginx to die');
    $self->{crashed} = 1;
    unlink $self->dir . '/nginx.pid';
    return $self;
}

sub quit ($self) { $self->stop }

# A master that has to be killed leaves its workers.
sub kill_now ($self) {
    return unless $self->alive;
    my %children = $self->children;
    $self->SUPER::kill_now;
    CORE::kill KILL => grep { title_of($_) =~ /^nginx: / } keys %children;
}


# --- What it left ------------------------------------------------------------

sub error_log ($self)  { slurp($self->dir . '/error.log') }
sub access_log ($self) { slurp($self->dir . '/access.log') }

sub log_lines ($self, $from = 0) { substr($self->error_log, $from) =~ /^.*\n/mg }

# Lines of the error log that are not debug and match.
sub logged ($self, $pattern) {
    return grep { !/\[debug\]/ && /$pattern/ } $self->log_lines;
}

# Allows an [alert] or [emerg] line: a reason is part of it.
sub expect ($self, $pattern, $reason) {
    push @{$self->expected}, [$pattern, $reason];
    return $self;
}

sub unexpected ($self) {
    my $bad = qr/\[(?:alert|emerg)\]|exited with code [1-9]|Sanitizer|runtime error:/;
    my @bad = grep { /$bad/ } map { slurp($_) =~ /^.*$/mg } $self->dir . '/error.log', $self->output;
    return grep { my $line = $_; !grep { $line =~ $_->[0] } @{$self->expected} } @bad;
}

# Whether a worker died while it had the zone locked, which starts empty then.
sub has_lost_records ($self) { scalar(() = $self->logged($LOST)) }

# Its requests, answered with this nginx's own client.
sub get ($self, @request)     { $self->client->get(@request) }
sub post ($self, @request)    { $self->client->post(@request) }
sub request ($self, @request) { $self->client->request(@request) }
sub later ($self, @request)   { $self->client->later(@request) }

1;
